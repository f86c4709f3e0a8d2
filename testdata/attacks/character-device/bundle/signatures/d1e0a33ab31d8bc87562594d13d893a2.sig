"ÛƒlYcV
ÝdžßéuîÀéb)O~Äš]a¾¾AöC¸ÁKŽ!UÙd¦¨£zXÇsƒM½ÑßÛBêŒZ	