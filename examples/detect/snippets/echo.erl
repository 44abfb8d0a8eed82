-module(echo).
-export([start/1, loop/1]).

-define(TIMEOUT, 5000).

start(Port) ->
    {ok, Listen} = gen_tcp:listen(Port, [binary, {active, false}, {reuseaddr, true}]),
    accept(Listen).

accept(Listen) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    spawn(fun() -> loop(Socket) end),
    accept(Listen).

loop(Socket) ->
    case gen_tcp:recv(Socket, 0, ?TIMEOUT) of
        {ok, Data} ->
            ok = gen_tcp:send(Socket, Data),
            loop(Socket);
        {error, closed} ->
            ok;
        {error, Reason} ->
            io:format("error: ~p~n", [Reason]),
            gen_tcp:close(Socket)
    end.
