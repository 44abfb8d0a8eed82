type expr =
  | Num of float
  | Var of string
  | Add of expr * expr
  | Mul of expr * expr

let rec eval env = function
  | Num n -> n
  | Var x -> List.assoc x env
  | Add (a, b) -> eval env a +. eval env b
  | Mul (a, b) -> eval env a *. eval env b

let rec simplify e =
  match e with
  | Add (Num 0., x) | Add (x, Num 0.) -> simplify x
  | Mul (Num 1., x) | Mul (x, Num 1.) -> simplify x
  | Add (a, b) -> Add (simplify a, simplify b)
  | Mul (a, b) -> Mul (simplify a, simplify b)
  | _ -> e

let () =
  let e = Add (Num 0., Mul (Var "x", Num 3.)) in
  Printf.printf "%f\n" (eval [ ("x", 2.) ] (simplify e))
