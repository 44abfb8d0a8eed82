(ns example.core
  (:require [clojure.string :as str]
            [clojure.set :refer [union]]))

(defrecord Person [name age])

(defn parse-person
  "Reads \"name, age\"."
  [line]
  (let [[name age] (map str/trim (str/split line #","))]
    (->Person name (Integer/parseInt age))))

(defn oldest [people]
  (->> people
       (filter #(> (:age %) 17))
       (sort-by :age >)
       first))

(def seen (atom #{}))

(defn remember! [person]
  (swap! seen union #{(:name person)}))

(defn -main [& args]
  (doseq [p (map parse-person args)]
    (remember! p))
  (println @seen))
