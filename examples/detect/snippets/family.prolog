:- module(family, [ancestor/2, sibling/2]).
:- use_module(library(lists)).

% parent(Parent, Child)
parent(anna, bert).
parent(anna, clara).
parent(bert, dora).
parent(clara, emil).

ancestor(X, Y) :- parent(X, Y).
ancestor(X, Z) :-
    parent(X, Y),
    ancestor(Y, Z).

sibling(X, Y) :-
    parent(P, X),
    parent(P, Y),
    X \= Y.

descendants(X, List) :-
    findall(Y, ancestor(X, Y), Found),
    sort(Found, List).

:- initialization(main).
main :-
    descendants(anna, List),
    format("~w~n", [List]),
    halt.
