BprobabilitiesJ
¾?Ðú—>:I>