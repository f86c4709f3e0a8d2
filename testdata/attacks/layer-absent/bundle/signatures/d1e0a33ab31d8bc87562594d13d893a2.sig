°vè•Û's­Æ#!¯ÎÆR†Yc}ärf²ËtZ7²
Õ·ËJ¼Bóx…-MÌ´A>•‚…Q'¯Qƒ w¢E4O