package exceptions

import "strings"

// Critical says whether a class is critical by its name alone, for sources that
// have no better word: a panic, a lack of memory, corrupt data.
func Critical(class string) bool {
	typ, _, _ := strings.Cut(class, "@")
	return criticalType(typ)
}

// criticalType says the same of a type.
func criticalType(typ string) bool {
	t := strings.ToLower(typ)
	return t == "panic" || strings.HasPrefix(t, "panic[") || strings.HasPrefix(t, "panic:") || strings.HasPrefix(t, "fatal error") ||
		contains(t, "outofmemory", "memoryerror", "bad_alloc", "corrupt", "dataloss", "checksummismatch", "integrityviolat")
}

// criticalWords tell of corrupt data or a lack of memory.
var criticalWords = []string{"corrupt", "checksum mismatch", "data loss", "out of memory", "heap space", "cannot allocate memory"}

// criticalPairs are the two first letters of each.
var criticalPairs = func() (pairs [1 << 16]bool) {
	for _, w := range criticalWords {
		pairs[pair(w[0], w[1])] = true
	}
	return pairs
}()

// criticalText says whether a message tells of corrupt data, in capitals or not.
func criticalText[T string | []byte](message T) bool {
	const looked = 2000
	const small = 0x20
	message = message[:min(len(message), looked)]
	for i := 0; i+1 < len(message); i++ {
		if !criticalPairs[pair(message[i]|small, message[i+1]|small)] {
			continue
		}
		for _, w := range criticalWords {
			if len(message)-i >= len(w) && strings.EqualFold(string(message[i:i+len(w)]), w) {
				return true
			}
		}
	}
	return false
}
