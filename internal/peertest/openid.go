package peertest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/renameio/v2"
)

// OpenID is a running OpenID provider: oidc-provider, which the OpenID Foundation has certified. Whoever names himself at its log-in page is
// believed; "nobody" goes away.
type OpenID struct {
	Issuer   string
	t        testing.TB
	settings OpenIDSettings
	file     string // holds them
	args     []string
	cmd      *exec.Cmd
}

// OpenIDSettings are what a provider knows.
type OpenIDSettings struct {
	Issuer   string                    `json:"issuer"` // http://localhost:PORT
	Clients  []map[string]any          `json:"clients"`
	People   map[string]map[string]any `json:"people"`   // claims by subject
	Claims   map[string][]string       `json:"claims"`   // which are told for a scope
	Features map[string]any            `json:"features"` // of oidc-provider
}

// StartOpenID runs a provider until the test ends.
func StartOpenID(t testing.TB, settings OpenIDSettings) *OpenID {
	t.Helper()
	module := filepath.Join(File(t, ".cache/node/oidc-provider@9.13.3"), "node_modules", "oidc-provider", "lib", "index.js")
	file := filepath.Join(t.TempDir(), "provider.json")
	p := &OpenID{Issuer: settings.Issuer, t: t, settings: settings, file: file, args: []string{filepath.Join(Root(t), "internal", "peertest", "testdata", "openid.mjs"), module, file}}
	p.write()
	p.Start()
	return p
}

// Change has it tell something else of somebody from now on.
func (p *OpenID) Change(who, claim string, value any) {
	p.t.Helper()
	p.settings.People[who][claim] = value
	p.write()
}

// write puts the settings in the place of those that the provider may be reading.
func (p *OpenID) write() {
	p.t.Helper()
	text, err := json.Marshal(p.settings)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := renameio.WriteFile(p.file, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// Start runs it again after Stop: with other keys, and without a memory.
func (p *OpenID) Start() {
	p.t.Helper()
	p.cmd = exec.Command(Program(p.t, "node"), p.args...)
	startPeer(p.t, p.cmd)
}

// Stop ends it.
func (p *OpenID) Stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
