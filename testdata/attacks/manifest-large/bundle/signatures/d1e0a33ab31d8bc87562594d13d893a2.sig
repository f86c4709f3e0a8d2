®pÅáþFvwø
ÆYV_¡`bülÐg%ŠZ­ŠN–BçôUUyµYVö!xÙî=T”\ÓÚºˆ[N8Æ*±+â×º