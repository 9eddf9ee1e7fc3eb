// Reads a log over HTTP with golang.org/x/mod/sumdb, which nobody of this project wrote: the checkpoint's signature, every
// entry's place, and that each smaller log is the beginning of the whole one.
//
// Arguments: the log's address and its key. Prints "SIZE entries" when all of it holds.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(url string) []byte {
	answer, err := http.Get(url)
	check(err)
	defer answer.Body.Close()
	if answer.StatusCode != 200 {
		check(fmt.Errorf("%s: %s", url, answer.Status))
	}
	bytes, err := io.ReadAll(answer.Body)
	check(err)
	return bytes
}

type reader struct{ base string }

func (r reader) Height() int { return 8 }

// tile.Path is tile/8/LEVEL/NUMBER; tlog-tiles has no height in it.
func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		found = append(found, get(r.base+"/tile/"+strings.TrimPrefix(tile.Path(), "tile/8/")))
	}
	return found, nil
}

func (r reader) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	base := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	check(err)
	opened, err := note.Open(get(base+"/checkpoint"), note.VerifierList(verifier))
	check(err)
	lines := strings.SplitN(opened.Text, "\n", 4)
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("origin %q is not %q", lines[0], verifier.Name()))
	}
	var size int64
	_, err = fmt.Sscanf(lines[1], "%d", &size)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)
	hashes := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, reader{base})

	var number int64
	for bundle := int64(0); bundle*256 < size; bundle++ {
		tile := tlog.Tile{H: 8, L: -1, N: bundle, W: 256}
		if rest := size - bundle*256; rest < 256 {
			tile.W = int(rest)
		}
		bytes := get(base + "/tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/data/"))
		for len(bytes) > 0 {
			length := int(binary.BigEndian.Uint16(bytes))
			entry := bytes[2 : 2+length]
			bytes = bytes[2+length:]
			proof, err := tlog.ProveRecord(size, number, hashes)
			check(err)
			check(tlog.CheckRecord(proof, size, root, number, tlog.RecordHash(entry)))
			number++
		}
	}
	if number != size {
		check(fmt.Errorf("%d entries of %d", number, size))
	}
	for old := int64(1); old <= size; old += 1 + size/17 {
		head, err := tlog.TreeHash(old, hashes)
		check(err)
		proof, err := tlog.ProveTree(size, old, hashes)
		check(err)
		check(tlog.CheckTree(proof, size, root, old, head))
	}
	fmt.Println(size, "entries")
}
