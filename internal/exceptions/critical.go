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

// criticalText says whether a message tells of corrupt data.
func criticalText(message string) bool {
	const looked = 2000
	m := strings.ToLower(message[:min(len(message), looked)])
	return contains(m, "corrupt", "checksum mismatch", "data loss", "out of memory", "heap space", "cannot allocate memory")
}
