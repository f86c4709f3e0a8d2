// Keyless signatures without a network: a Sigstore of its own (Fulcio, certificate transparency, Rekor), made by
// sigstore-go's testing CA, signs one digest. What real clients write around it is written here:
//
//	keyless DIGEST IDENTITY ISSUER FOLDER
//
// FOLDER gets bundle.json (Sigstore bundle 0.3, DSSE), the legacy form (payload.json, certificate.pem, set.json,
// signature) and trusted_root.json.
package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore/pkg/signature"
	"google.golang.org/protobuf/encoding/protojson"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func logID(key crypto.PublicKey) []byte {
	id := sha256.Sum256(must(x509.MarshalPKIXPublicKey(key)))
	return id[:]
}

// leaf is a certificate as Fulcio issues it, with the timestamp of a certificate transparency log in it (RFC 6962).
func leaf(identity, issuer string, key *ecdsa.PrivateKey, parent *x509.Certificate, parentKey crypto.Signer, log *ecdsa.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7),
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(9 * time.Minute),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: []pkix.Extension{
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(issuer)},
			{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: must(asn1.MarshalWithParams(issuer, "utf8"))},
		},
	}
	if strings.Contains(identity, "://") {
		template.URIs = []*url.URL{must(url.Parse(identity))}
	} else {
		template.EmailAddresses = []string{identity}
	}
	issue := func() *x509.Certificate {
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))))
	}
	body := issue().RawTBSCertificate
	issuerKey := sha256.Sum256(parent.RawSubjectPublicKeyInfo)
	stamp := uint64(time.Now().UnixMilli())
	var signed bytes.Buffer
	signed.Write([]byte{0, 0}) // version 1, certificate_timestamp
	_ = binary.Write(&signed, binary.BigEndian, stamp)
	signed.Write([]byte{0, 1}) // precert_entry
	signed.Write(issuerKey[:])
	signed.Write([]byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))})
	signed.Write(body)
	signed.Write([]byte{0, 0}) // no extensions
	hash := sha256.Sum256(signed.Bytes())
	made := must(ecdsa.SignASN1(rand.Reader, log, hash[:]))
	var sct bytes.Buffer
	sct.WriteByte(0)
	sct.Write(logID(log.Public()))
	_ = binary.Write(&sct, binary.BigEndian, stamp)
	sct.Write([]byte{0, 0, 4, 3}) // no extensions; SHA-256, ECDSA
	_ = binary.Write(&sct, binary.BigEndian, uint16(len(made)))
	sct.Write(made)
	var list bytes.Buffer
	_ = binary.Write(&list, binary.BigEndian, uint16(sct.Len()+2))
	_ = binary.Write(&list, binary.BigEndian, uint16(sct.Len()))
	list.Write(sct.Bytes())
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{
		Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: must(asn1.Marshal(list.Bytes())),
	})
	return issue()
}

// entry is what Rekor keeps: logged alone in a tree of one leaf, with promise and proof.
func entry(rekor *ecdsa.PrivateKey, kind, version string, body []byte) *protorekor.TransparencyLogEntry {
	now := time.Now().Unix()
	payload := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(body), IntegratedTime: now, LogIndex: 0,
		LogID: hex.EncodeToString(logID(rekor.Public())),
	}
	canonical := []byte(fmt.Sprintf(`{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":0}`, payload.Body, now, payload.LogID))
	hash := sha256.Sum256(canonical)
	promise := must(ecdsa.SignASN1(rand.Reader, rekor, hash[:]))
	tree := sha256.Sum256(append([]byte{0}, body...))
	signer := must(signature.LoadECDSASignerVerifier(rekor, crypto.SHA256))
	checkpoint := must(util.CreateAndSignCheckpoint(context.Background(), "rekor.localhost", 1, 1, tree[:], signer))
	return &protorekor.TransparencyLogEntry{
		LogIndex: 0, LogId: &protocommon.LogId{KeyId: logID(rekor.Public())},
		KindVersion: &protorekor.KindVersion{Kind: kind, Version: version}, IntegratedTime: now,
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: promise},
		InclusionProof: &protorekor.InclusionProof{
			LogIndex: 0, RootHash: tree[:], TreeSize: 1, Hashes: nil,
			Checkpoint: &protorekor.Checkpoint{Envelope: string(checkpoint)},
		},
		CanonicalizedBody: body,
	}
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: keyless DIGEST IDENTITY ISSUER FOLDER")
		os.Exit(2)
	}
	digest, identity, issuer, folder := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			must(0, err)
		}
	}
	rootCert, rootKey, err := ca.GenerateRootCa()
	must(0, err)
	fulcio, fulcioKey, err := ca.GenerateFulcioIntermediate(rootCert, rootKey)
	must(0, err)
	newKey := func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }
	key, ctLog, rekor := newKey(), newKey(), newKey()
	cert := leaf(identity, issuer, key, fulcio, fulcioKey, ctLog)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	sign := func(message []byte) []byte {
		hash := sha256.Sum256(message)
		return must(ecdsa.SignASN1(rand.Reader, key, hash[:]))
	}

	// the bundle
	statement := []byte(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":%q}}],`+
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`, strings.TrimPrefix(digest, "sha256:")))
	const payloadType = "application/vnd.in-toto+json"
	made := sign(dsse.PAE(payloadType, statement))
	hashOf := func(content []byte) string { hash := sha256.Sum256(content); return hex.EncodeToString(hash[:]) }
	envelope := must(json.Marshal(dsse.Envelope{
		PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(statement),
		Signatures: []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(made)}},
	}))
	body := []byte(fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":%q},`+
		`"payloadHash":{"algorithm":"sha256","value":%q},"signatures":[{"signature":%q,"verifier":%q}]}}`,
		hashOf(envelope), hashOf(statement), base64.StdEncoding.EncodeToString(made), base64.StdEncoding.EncodeToString(certPEM)))
	write("bundle.json", must(protojson.Marshal(&protobundle.Bundle{
		MediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content:     &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: cert.Raw}},
			TlogEntries: []*protorekor.TransparencyLogEntry{entry(rekor, "dsse", "0.0.1", body)},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: statement, PayloadType: payloadType, Signatures: []*protodsse.Signature{{Sig: made}},
		}},
	})))

	// the legacy form
	payload := []byte(fmt.Sprintf(`{"critical":{"identity":{"docker-reference":"keyless"},"image":{"docker-manifest-digest":%q},`+
		`"type":"cosign container image signature"},"optional":null}`, digest))
	made = sign(payload)
	body = []byte(fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":%q}},`+
		`"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		hashOf(payload), base64.StdEncoding.EncodeToString(made), base64.StdEncoding.EncodeToString(certPEM)))
	logged := entry(rekor, "hashedrekord", "0.0.1", body)
	write("payload.json", payload)
	write("signature", []byte(base64.StdEncoding.EncodeToString(made)))
	write("certificate.pem", certPEM)
	write("set.json", must(json.Marshal(map[string]any{
		"SignedEntryTimestamp": base64.StdEncoding.EncodeToString(logged.InclusionPromise.SignedEntryTimestamp),
		"Payload": map[string]any{
			"body": base64.StdEncoding.EncodeToString(body), "integratedTime": logged.IntegratedTime, "logIndex": 0,
			"logID": hex.EncodeToString(logID(rekor.Public())),
		},
	})))

	// whom to believe
	start := time.Now().Add(-time.Hour)
	log := func(url string, key *ecdsa.PrivateKey) map[string]*root.TransparencyLog {
		id := logID(key.Public())
		return map[string]*root.TransparencyLog{hex.EncodeToString(id): {
			BaseURL: url, ID: id, ValidityPeriodStart: start, HashFunc: crypto.SHA256,
			PublicKey: key.Public(), SignatureHashFunc: crypto.SHA256,
		}}
	}
	trusted := must(root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{&root.FulcioCertificateAuthority{
		Root: rootCert, Intermediates: []*x509.Certificate{fulcio}, ValidityPeriodStart: start, URI: "https://fulcio.localhost",
	}}, log("https://ctfe.localhost", ctLog), nil, log("https://rekor.localhost", rekor)))
	write("trusted_root.json", must(trusted.MarshalJSON()))
}
