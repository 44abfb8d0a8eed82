program Sorting;

{$mode objfpc}

uses
  SysUtils, Classes;

type
  TIntegerArray = array of Integer;

procedure Swap(var A, B: Integer);
var
  Temp: Integer;
begin
  Temp := A;
  A := B;
  B := Temp;
end;

procedure BubbleSort(var Items: TIntegerArray);
var
  I, J: Integer;
begin
  for I := High(Items) downto Low(Items) + 1 do
    for J := Low(Items) to I - 1 do
      if Items[J] > Items[J + 1] then
        Swap(Items[J], Items[J + 1]);
end;

var
  Numbers: TIntegerArray;
  K: Integer;
begin
  SetLength(Numbers, 5);
  for K := 0 to 4 do
    Numbers[K] := (K * 7) mod 5;
  BubbleSort(Numbers);
  for K := 0 to 4 do
    WriteLn(IntToStr(Numbers[K]));
end.
