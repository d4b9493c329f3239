package rollout

// Choices lists the check types.
func (CheckType) Choices() []string { return texts(CheckTypes()) }

// Choices lists the hook points.
func (Point) Choices() []string { return texts(Points()) }

// Choices lists the events.
func (Event) Choices() []string { return texts(Events()) }

// Choices lists what a failure can mean.
func (OnFailure) Choices() []string { return texts([]OnFailure{FailRollback, FailHold, FailIgnore}) }

func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
