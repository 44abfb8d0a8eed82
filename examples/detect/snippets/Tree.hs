{-# LANGUAGE ScopedTypeVariables #-}
module Tree (Tree (..), insert, toList) where

import Data.Foldable (foldl')
import qualified Data.Map.Strict as Map

data Tree a
  = Leaf
  | Node (Tree a) a (Tree a)
  deriving (Show, Eq)

insert :: Ord a => a -> Tree a -> Tree a
insert x Leaf = Node Leaf x Leaf
insert x t@(Node l y r)
  | x < y = Node (insert x l) y r
  | x > y = Node l y (insert x r)
  | otherwise = t

toList :: Tree a -> [a]
toList Leaf = []
toList (Node l x r) = toList l ++ [x] ++ toList r

main :: IO ()
main = do
  let tree = foldl' (flip insert) Leaf [5, 2, 8, 1 :: Int]
  mapM_ print (toList tree)
  print $ Map.toList (Map.fromListWith (+) [(even n, n) | n <- toList tree])
