BIdentity_3:0J0£ÃH¾dV½.¿‚¾}>¿R6>¬L¼<
¡‘¾L…¸¾ÿ3e¾¯È]¾Oj¾bÀs¾