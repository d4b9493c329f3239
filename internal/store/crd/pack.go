package crd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"serin.dev/serin/internal/record"
)

// maxUnpacked bounds what a compressed field may hold: an API server keeps a
// megabyte and a half of one, and nobody compresses records a hundredfold.
const maxUnpacked = 128 << 20

// pack returns v as compressed JSON.
func pack(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return squeeze(data, gzip.BestSpeed)
}

// compressors are used again, by level: each is more than half a megabyte, and
// every look of every run needs two for a kilobyte or so.
var compressors = map[int]*sync.Pool{
	gzip.BestSpeed:       compressor(gzip.BestSpeed),
	gzip.BestCompression: compressor(gzip.BestCompression),
}

func compressor(level int) *sync.Pool {
	return &sync.Pool{New: func() any {
		z, err := gzip.NewWriterLevel(io.Discard, level)
		if err != nil {
			panic(err) // the levels are the constants above
		}
		return z
	}}
}

func squeeze(data []byte, level int) ([]byte, error) {
	var b bytes.Buffer
	z := compressors[level].Get().(*gzip.Writer)
	defer compressors[level].Put(z)
	z.Reset(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(packed []byte, into any) error {
	data, err := expand(packed)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func expand(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err == nil && len(data) > maxUnpacked {
		err = fmt.Errorf("it holds more than %d bytes", maxUnpacked)
	}
	return data, err
}

// packLines compresses lines. Two packs one after the other are one pack of all
// their lines, so that adding a line costs no more than the line.
func packLines(lines []record.Line, level int) ([]byte, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	for _, l := range lines {
		b.Write(l)
		b.WriteByte('\n')
	}
	return squeeze(b.Bytes(), level)
}

func unpackLines(packed []byte) ([]record.Line, error) {
	data, err := expand(packed)
	if err != nil {
		return nil, fmt.Errorf("read the record's lines: %w", err)
	}
	var lines []record.Line
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			return nil, fmt.Errorf("read the record's lines: the last of them is cut off")
		}
		lines, data = append(lines, record.Line(data[:end:end])), data[end+1:]
	}
	return lines, nil
}
