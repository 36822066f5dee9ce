package wire

import "fmt"

// A MalformedError says that bytes from a peer are not a message of malcolm/1.
// Its text holds nothing that the peer chose except numbers.
type MalformedError struct {
	Message string // which message: "open", "offer", "listing", ...
	Reason  string // what is wrong with it
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("malformed %s: %s", e.Message, e.Reason)
}

func malformed(message, reason string) error {
	return &MalformedError{Message: message, Reason: reason}
}
