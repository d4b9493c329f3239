package archive

// The names of what is kept of a run.
const (
	RecordFile   = "record.jsonl"
	EvidenceFile = "evidence.json"
	MarkdownFile = "report.md"
	HTMLFile     = "report.html"
	// LogsFolder holds the logs of instances.
	LogsFolder = "logs"
)
