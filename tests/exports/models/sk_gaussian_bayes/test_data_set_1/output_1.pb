BprobabilitiesJTœU<>f>N·	?NÀ=q
%>Z«>?¢†Ù:Úz»<b·y?¶r=v?û»Ê>zó°>
?ºç=PòÄ>@Æ>Cši>¤}>Û©?çIt>