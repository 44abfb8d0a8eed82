package main

import (
	"fmt"
	"log"
	"net/http"
	"sync"
)

type counter struct {
	mu   sync.Mutex
	hits map[string]int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hits[r.URL.Path]++
	fmt.Fprintf(w, "%s: %d\n", r.URL.Path, c.hits[r.URL.Path])
}

func main() {
	c := &counter{hits: make(map[string]int)}
	if err := http.ListenAndServe(":8080", c); err != nil {
		log.Fatal(err)
	}
}
