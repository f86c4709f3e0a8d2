Z«ςlIώΔ?#\οι’n»εδGS
)‘2h…ΡWBDciΛ)Κ16Φ¶σίhF€Mz3gι+vβ›r