pf«Ýl,+/ÚS¶ãHƒ>í ¼¬2
#—$aQ=+”t8Qz5XrZc3iÒz‰Ph_0þ[Õ¿ú»ÞA