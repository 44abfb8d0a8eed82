
probabilitiesJR°4?]Ÿ–>JDÿ=?y„>