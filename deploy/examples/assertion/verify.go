// Verifies midgate's assertion with the standard library. Needs Go 1.20 or newer.
//
//	verifier := NewVerifier("https://app.example.ch", "https://erp.internal", "")
//	claims, err := verifier.Verify(r.Header.Get("X-Midgate-Jwt-Assertion"))
package main

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Two clocks may differ by this much.
const leeway = 30 * time.Second

// Key is a public key as the gateway publishes it.
type Key struct{ Kty, Crv, Kid, Alg, X, Y, N, E string }

// Verifier verifies assertions of one gateway for one application.
type Verifier struct {
	issuer, audience, keysURL string
	client                    http.Client
	mutex                     sync.Mutex
	keys                      map[string]Key
}

// NewVerifier makes one; keysURL may name the gateway by an inner address.
func NewVerifier(issuer, audience, keysURL string) *Verifier {
	if keysURL == "" {
		keysURL = issuer + "/.well-known/midgate/jwks.json"
	}
	return &Verifier{issuer: issuer, audience: audience, keysURL: keysURL, client: http.Client{Timeout: 5 * time.Second}}
}

// Verify gives the claims of a good assertion.
func (v *Verifier) Verify(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("no assertion")
	}
	var head struct {
		Alg, Kid, Typ string
		Crit          any
	}
	var claims map[string]any
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || decode(parts[0], &head) != nil || decode(parts[1], &claims) != nil {
		return nil, errors.New("no assertion")
	}
	if head.Typ != "midgate-assertion+jwt" || head.Crit != nil {
		return nil, errors.New("another kind of token")
	}
	key, err := v.key(head.Kid)
	if err != nil {
		return nil, err
	}
	if key.Alg != head.Alg {
		return nil, errors.New("the key is for another algorithm")
	}
	if !key.verifies([]byte(parts[0]+"."+parts[1]), signature) {
		return nil, errors.New("bad signature")
	}
	now := time.Now()
	switch exp, iat := seconds(claims["exp"]), seconds(claims["iat"]); {
	case claims["iss"] != v.issuer:
		return nil, errors.New("wrong issuer")
	case claims["aud"] != v.audience:
		return nil, errors.New("wrong audience")
	case exp.Before(now.Add(-leeway)):
		return nil, errors.New("expired")
	case iat.IsZero() || iat.After(now.Add(leeway)):
		return nil, errors.New("issued in the future")
	}
	return claims, nil
}

// A key that is not known is looked for once more: the gateway may have a new one.
func (v *Verifier) key(kid string) (Key, error) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if key, ok := v.keys[kid]; ok {
		return key, nil
	}
	answer, err := v.client.Get(v.keysURL)
	if err != nil {
		return Key{}, err
	}
	defer answer.Body.Close()
	var set struct{ Keys []Key }
	if answer.StatusCode != http.StatusOK {
		return Key{}, fmt.Errorf("no keys: %s", answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&set); err != nil {
		return Key{}, err
	}
	v.keys = map[string]Key{}
	for _, key := range set.Keys {
		v.keys[key.Kid] = key
	}
	if key, ok := v.keys[kid]; ok {
		return key, nil
	}
	return Key{}, errors.New("unknown key")
}

// The key says how it is verified, never the token.
func (k Key) verifies(signed, signature []byte) bool {
	digest := sha256.Sum256(signed)
	switch {
	case k.Alg == "ES256" && k.Kty == "EC" && k.Crv == "P-256" && len(signature) == 64:
		public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(k.X), Y: number(k.Y)}
		r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(public, digest[:], r, s)
	case k.Alg == "EdDSA" && k.Kty == "OKP" && k.Crv == "Ed25519":
		public, err := base64.RawURLEncoding.DecodeString(k.X)
		return err == nil && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, signed, signature)
	case k.Alg == "RS256" && k.Kty == "RSA":
		public := &rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) == nil
	}
	return false
}

func number(text string) *big.Int {
	bytes, _ := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(bytes)
}

func decode(part string, into any) error {
	bytes, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(bytes, into)
}

func seconds(claim any) time.Time {
	number, ok := claim.(float64)
	if !ok {
		return time.Time{}
	}
	return time.Unix(int64(number), 0)
}

// By hand: go run verify.go ISSUER AUDIENCE [KEYS_URL], assertions on standard input, one a line.
func main() {
	given := append(os.Args[1:], "", "", "")
	verifier := NewVerifier(given[0], given[1], given[2])
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		claims, err := verifier.Verify(strings.TrimSpace(lines.Text()))
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		text, _ := json.Marshal(claims)
		fmt.Println(string(text))
	}
}
