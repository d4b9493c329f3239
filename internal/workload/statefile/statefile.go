// Package statefile keeps a small state file up to date also when the disk is
// full. It knows no content.
package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
)

// block is what every state file's size is a multiple of. The spaces at its
// end are room for the next content, which may then be written in place.
const block = 4096

// Replace makes data the content of a small state file. It writes beside it
// and renames; where that fails, as on a full disk, it writes over the blocks
// that the file has already.
func Replace(path string, data []byte, durable bool) error {
	padded := make([]byte, (len(data)/block+1)*block)
	copy(padded, data)
	copy(padded[len(data):], bytes.Repeat([]byte(" "), len(padded)-len(data)))
	padded[len(padded)-1] = '\n'

	renameErr := writeBeside(path, padded, durable)
	if renameErr == nil {
		return nil
	}
	if err := overwrite(path, padded, durable); err != nil {
		return fmt.Errorf("saving %s: %w", path, errors.Join(renameErr, err))
	}
	return nil
}

func writeBeside(path string, data []byte, durable bool) error {
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(beside)
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		os.Remove(beside)
		return err
	}
	return nil
}

// overwrite writes data over the beginning of an existing file that is at least
// as long.
func overwrite(path string, data []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < int64(len(data)) {
		err = fmt.Errorf("has only %d bytes, too few to write over", info.Size())
	}
	if err == nil {
		// What lies behind data is blanked as well: it must not be read again.
		data = append(bytes.Clone(data), bytes.Repeat([]byte(" "), int(info.Size())-len(data))...)
		_, err = f.WriteAt(data, 0)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
