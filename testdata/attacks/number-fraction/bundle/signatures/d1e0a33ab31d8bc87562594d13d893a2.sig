tÈ™¢š«y]‚QtvaÁ´`ÿþs¨qLx UJ.Ÿ@è–âHq+-PbJCÈxPO·ê‰hP>ºs|y
