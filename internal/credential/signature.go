package credential

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// SignatureHeader carries the signature of a call that Serin makes.
const SignatureHeader = "Serin-Signature"

// HMAC says how calls are signed.
type HMAC struct {
	// Secret is the key that Serin and the receiver share.
	Secret Ref `json:"secret" jsonschema:"required"`
}

// Sign returns the value of SignatureHeader: "t=<unix>,v1=<hex>", where hex is
// the HMAC-SHA256 with the secret of "<unix>.<body>". The time is signed too,
// so that a receiver can refuse a call that somebody repeats later.
func Sign(secret Secret, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return fmt.Sprintf("t=%s,v1=%s", t, hex.EncodeToString(mac.Sum(nil)))
}
