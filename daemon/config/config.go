package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"llamaxr/dicomnet"
	"llamaxr/finetune/tune"
	"llamaxr/inference/signing"
	"llamaxr/study"

	"github.com/goccy/go-yaml"
)

// maxFileSize bounds the configuration file; a real one is under 10 KiB.
const maxFileSize = 1 << 20

// maxAETitle is the length of an AE title (PS3.5 table 6.2-1, VR AE).
const maxAETitle = 16

// Config is everything a site can set. The explain tag is the key's documentation; reload says whether a change takes effect while the
// appliance runs.
type Config struct {
	State        string        `yaml:"state" explain:"folder for images, ledger and drafts; made when missing, mode 0700"`
	Listen       string        `yaml:"listen" explain:"host:port where studies arrive by DICOM C-STORE"`
	AETitle      string        `yaml:"ae_title" explain:"our AE title, called by senders and shown to the PACS; at most 16 characters"`
	AnyCalled    bool          `yaml:"accept_any_called_ae" reload:"yes" explain:"true takes associations whatever AE title they call; false only those that call ae_title"`
	TLS          TLS           `yaml:"tls" explain:"TLS for associations that peers open to us; files are read again when they change, without a restart"`
	Peers        []Peer        `yaml:"peers" reload:"yes" explain:"who may open associations; empty allows all"`
	Destinations []Destination `yaml:"destinations" reload:"yes" explain:"where drafts are sent"`
	Archive      Archive       `yaml:"archive" explain:"who is asked for a view that a study lacks"`
	HL7          HL7           `yaml:"hl7" explain:"results to and from a radiology information system by HL7 v2.5.1; see docs/INTEGRATION.md"`
	FHIR         []FHIR        `yaml:"fhir" explain:"servers that get results as FHIR R4 resources"`
	Mail         Mail          `yaml:"mail" explain:"who is told of critical findings by e-mail; see docs/INTEGRATION.md"`
	Escalation   Escalation    `yaml:"escalation" explain:"what happens when nobody takes note of a critical finding in the reading room"`
	Webhooks     []Webhook     `yaml:"webhooks" explain:"who is told of events in JSON, critical findings among them"`
	Shadow       bool          `yaml:"shadow" reload:"yes" explain:"true drafts and scores, and sends nothing to any destination: for going live; see sources"`
	Sources      []Source      `yaml:"sources" reload:"yes" explain:"what is done with studies, by who sends them; what is not listed is drafted"`
	QuietTime    time.Duration `yaml:"quiet_time" reload:"yes" explain:"a study is complete when nothing of it arrived for this long, or sooner when both views are there and the association is released"`
	HTTP         string        `yaml:"http" explain:"host:port of the reading room and /healthz; another address than loopback needs http_certificate; empty turns it off"`
	HTTPCert     string        `yaml:"http_certificate" explain:"PEM file with the reading room's TLS certificate and chain; empty serves plain HTTP, on loopback only"`
	HTTPKey      string        `yaml:"http_key" explain:"PEM file with the certificate's private key"`
	HTTPAddress  string        `yaml:"http_address" explain:"how browsers reach the reading room, as in https://llamaxr.example:8042; needed for oidc and mail"`
	Passwords    string        `yaml:"local_passwords" explain:"who may log in with a password that llamaxr user set: all, admins (when oidc cannot be reached) or none"`
	OIDC         OIDC          `yaml:"oidc" explain:"single sign-on by OpenID Connect; see docs/ADMIN.md"`
	DICOMweb     bool          `yaml:"dicomweb" explain:"true serves STOW-RS, QIDO-RS and WADO-RS at http's /dicom-web, to machines with a token (llamaxr user add --machine)"`
	DICOMwebOpen bool          `yaml:"dicomweb_open_to_this_machine" explain:"true lets programs on this machine use DICOMweb without a token; not for machines that people share or that a proxy runs on"`
	Organization string        `yaml:"organization" reload:"yes" explain:"name of the hospital, on signed reports"`
	Critical     []string      `yaml:"critical_findings" reload:"yes" explain:"findings that put a study on top of the worklist"`
	HeatMap      string        `yaml:"heat_map" reload:"yes" explain:"how the heat map is sent: sc, a Secondary Capture picture of both views; or gsps, a presentation state for each image, which viewers draw over it as outlines that can be switched off (a colour image, and a lateral view that came as another study, still give a picture)"`
	Sections     string        `yaml:"report_sections" reload:"yes" explain:"how a draft's narrative is divided: plain, findings and impression; or rsna, by RSNA's templates of chest radiographs: procedure, comparison, the findings by organ, impression"`
	PDF          bool          `yaml:"pdf" reload:"yes" explain:"true also sends each draft as a page: an Encapsulated PDF with the text, the scores and the heat map"`
	Adapters     Adapters      `yaml:"adapters" explain:"which adapters may work"`
	Engine       string        `yaml:"engine" explain:"auto, xla:cuda, xla:cpu or go: what computes graphs, which are fine-tuning, classifiers other than DenseNets and, on a GPU, all models; auto takes the fastest that is there"`
	Duplicates   string        `yaml:"duplicates" explain:"the same SOP Instance UID with other bytes: refuse (0x0111 to the sender) or accept (success); kept aside and logged either way"`
	Captures     bool          `yaml:"read_secondary_captures" reload:"yes" explain:"true reads Secondary Capture objects of modality CR or DX as radiographs (digitised films); false stores them and gives no draft"`
	MinimumAge   int           `yaml:"minimum_age" reload:"yes" explain:"patients younger than this many years get no draft: the models are for adults"`
	FreeSpace    int64         `yaml:"minimum_free_bytes" reload:"yes" explain:"below this much free disk space new objects are refused with 0xA700"`
	Retention    Retention     `yaml:"retention" explain:"when files of finished studies are removed; the ledger's records, scores and texts stay"`
	Commitment   Commitment    `yaml:"storage_commitment" explain:"requests of ours to destinations that have storage_commitment: true"`
	Encryption   Encryption    `yaml:"encryption" explain:"of images, documents and drafts on this machine's disk; see docs/ADMIN.md"`
	Learning     Learning      `yaml:"learning" explain:"when fine-tuning on corrections begins by itself, and how it is done; see docs/FINETUNING.md"`
	Limits       Limits        `yaml:"limits" explain:"bounds on what peers may use"`
	Tracing      Tracing       `yaml:"tracing" explain:"traces of studies, from association to delivery; they name no patient and no UID"`
	Audit        Audit         `yaml:"audit" explain:"DICOM audit messages by syslog"`
	LogLevel     string        `yaml:"log_level" reload:"yes" explain:"debug, info, warn or error"`
	LogFormat    string        `yaml:"log_format" explain:"text or json"`
}

// Destination is a PACS that receives drafts, by C-STORE or by STOW-RS.
type Destination struct {
	AETitle   string    `yaml:"ae_title" explain:"the PACS's AE title"`
	Address   string    `yaml:"address" explain:"the PACS's host:port"`
	STOW      string    `yaml:"stow" explain:"instead of both: address of a DICOMweb service that takes drafts by STOW-RS, for example https://pacs.example/dicom-web"`
	TokenFile string    `yaml:"token_file" explain:"file whose first line is shown to stow as a bearer token; empty shows none"`
	TLS       ClientTLS `yaml:"tls" explain:"TLS to this PACS"`
	Commit    bool      `yaml:"storage_commitment" explain:"true asks this PACS to commit to what it was sent, and sends again what it does not"`
	LeaveOut  []string  `yaml:"leave_out" explain:"what of a draft this PACS is not sent since it does not take its SOP class: scores (Comprehensive 3D SR), heatmap (Secondary Capture, or presentation states), chart (Secondary Capture), page (Encapsulated PDF)"`
}

// String returns the destination as AET@HOST:PORT or by its address on the web.
func (d Destination) String() string {
	if d.STOW != "" {
		return d.STOW
	}
	return d.AETitle + "@" + d.Address
}

// leavable are the documents of a draft that a destination may be without. Its text is sent to all.
var leavable = []string{"scores", "heatmap", "chart", "page"}

// Takes reports whether a destination is sent a kind of document. A heat map may be presentation states, one for each view.
func (d Destination) Takes(kind string) bool {
	if strings.HasPrefix(kind, "presentation-") {
		kind = "heatmap"
	}
	return !slices.Contains(d.LeaveOut, kind)
}

// Limits bound what peers may use.
type Limits struct {
	Associations int           `yaml:"associations" reload:"yes" explain:"associations at once; one more is rejected as transient, but for an eighth on top that is kept for others when one address holds more than half"`
	PDULength    uint32        `yaml:"pdu_length" explain:"largest PDU taken, in bytes; 4096 to 1048576"`
	IdleTime     time.Duration `yaml:"idle_time" reload:"yes" explain:"an association on which nothing happens for this long is aborted"`
	Attempts     int           `yaml:"attempts" reload:"yes" explain:"tries of one job before it is a dead letter"`
}

// Forms of the heat map.
const (
	HeatMapSC   = "sc"
	HeatMapGSPS = "gsps"
)

// Divisions of a draft's narrative.
const (
	SectionsPlain = "plain"
	SectionsRSNA  = "rsna"
)

// Duplicate policies.
const (
	DuplicatesRefuse = "refuse"
	DuplicatesAccept = "accept"
)

// Default returns the configuration of an appliance that was told nothing.
func Default() Config {
	return Config{
		State:      "llamaxr-state",
		Listen:     ":11112",
		AETitle:    "LLAMAXR",
		AnyCalled:  true,
		TLS:        TLS{MinVersion: "1.2"},
		Audit:      Audit{Protocol: "tls"},
		HL7:        HL7{Application: "LLAMAXR", TLS: TLS{MinVersion: "1.2"}, Connections: 16, IdleTime: 10 * time.Minute},
		Learning:   Learning{Preset: tune.Site.Name, Set: []string{}},
		Archive:    Archive{Retrieve: RetrieveMove, FetchTime: 30 * time.Second},
		QuietTime:  30 * time.Second,
		HTTP:       "127.0.0.1:8042",
		Passwords:  PasswordsAll,
		OIDC:       OIDC{Name: "single sign-on", Scopes: []string{"profile"}, UserClaim: "preferred_username", Groups: "groups", Recheck: 15 * time.Minute, Session: 2 * time.Hour},
		Mail:       Mail{Security: MailSTARTTLS},
		Escalation: Escalation{After: 15 * time.Minute, Times: 3},
		Critical:   []string{study.Pneumothorax.String()},
		HeatMap:    HeatMapSC,
		Sections:   SectionsPlain,
		Engine:     "auto",
		Duplicates: DuplicatesRefuse,
		MinimumAge: 18,
		FreeSpace:  1 << 30,
		Commitment: Commitment{AnswerTime: time.Hour},
		Limits: Limits{
			Associations: 64,
			PDULength:    131072,
			IdleTime:     time.Minute,
			Attempts:     12,
		},
		LogLevel:  "info",
		LogFormat: "text",
	}
}

// Load reads and checks the file for the service: a credential that it names must be there. What the file does not set keeps its default.
func Load(path string) (Config, error) {
	cfg, err := Read(path)
	if err != nil {
		return cfg, err
	}
	return cfg, cfg.Unresolved()
}

// Read reads and checks the file as far as that can be done outside the service, which alone has its credentials. Faults of values come with the
// configuration as it was read.
func Read(path string) (Config, error) {
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return Config{}, fmt.Errorf("configuration file %s does not exist; `llamaxr config explain` prints one to start from", path)
		}
		return Config{}, fmt.Errorf("opening configuration: %w", err)
	}
	defer file.Close()
	cfg, err := Parse(file)
	if err != nil {
		return Config{}, err
	}
	return cfg, cfg.Check()
}

// Parse reads YAML over the defaults. An unknown or repeated key is an error with its line. Within the service a value
// credential:NAME becomes the path of that credential.
func Parse(r io.Reader) (Config, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	if err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	if len(data) > maxFileSize {
		return Config{}, fmt.Errorf("configuration is larger than %d bytes", maxFileSize)
	}
	if err := unknownKeys(data); err != nil {
		return Config{}, err
	}
	cfg := Default()
	if len(strings.TrimSpace(string(data))) == 0 {
		return cfg, nil
	}
	if err := decode(data, &cfg); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return cfg, resolveCredentials(&cfg)
}

// decode reads YAML over what is in cfg. A file that the library panics on is one that cannot be read: a running appliance reads its file again when asked to.
func decode(data []byte, cfg *Config) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is YAML that cannot be read here: %v", p)
		}
	}()
	return yaml.UnmarshalWithOptions(data, cfg, yaml.Strict())
}

// Check reports everything that is wrong, one line a fault.
func (c Config) Check() error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("configuration: %s: "+format, append([]any{key}, args...)...))
	}
	if c.State == "" {
		fault("state", "must name a folder")
	}
	if err := checkAETitle(c.AETitle); err != nil {
		fault("ae_title", "%w", err)
	}
	c.checkTLS(fault)
	c.checkResults(fault)
	c.checkSources(fault)
	c.checkTracing(fault)
	c.checkAudit(fault)
	c.checkAccess(fault)
	_, wrong := c.peers()
	faults = append(faults, wrong...)
	if err := checkAddress(c.Listen); err != nil {
		fault("listen", "%w", err)
	}
	if c.HTTP != "" {
		if err := checkAddress(c.HTTP); err != nil {
			fault("http", "%w", err)
		} else if c.HTTPCert == "" && !loopback(c.HTTP) {
			fault("http", "%s can be reached from the network: set http_certificate and http_key, or listen on 127.0.0.1", c.HTTP)
		}
	}
	if c.DICOMweb && c.HTTP == "" {
		fault("dicomweb", "needs http: it is served there")
	}
	if c.DICOMwebOpen && !c.DICOMweb {
		fault("dicomweb_open_to_this_machine", "needs dicomweb")
	}
	if (c.HTTPCert == "") != (c.HTTPKey == "") {
		fault("http_certificate", "certificate and http_key go together")
	} else if c.HTTP != "" {
		if err := checkCredentials(&dicomnet.Credentials{CertificateFile: c.HTTPCert, KeyFile: c.HTTPKey}); err != nil {
			fault("http_certificate", "%w", err)
		}
	}
	for i, name := range c.Critical {
		if _, err := study.ParseFinding(name); err != nil {
			fault(fmt.Sprintf("critical_findings[%d]", i), "%w", err)
		}
	}
	c.checkPorts(fault)
	c.checkKeeping(fault)
	if _, err := signing.ReadPublic(c.Adapters.TrustedKeys...); err != nil && !slices.ContainsFunc(c.Adapters.TrustedKeys, elsewhere) {
		fault("adapters.trusted_keys", "%w", err)
	}
	c.checkArchive(fault)
	c.checkLearning(fault)
	for i, d := range c.Destinations {
		key := fmt.Sprintf("destinations[%d]", i)
		d.check(func(sub, format string, args ...any) { fault(key+"."+sub, format, args...) })
		for _, other := range c.Destinations[:i] {
			if other.String() == d.String() {
				fault(key, "%s is listed twice", d)
			}
		}
	}
	between := func(key string, value, low, high int64) {
		if value < low || value > high {
			fault(key, "%d is outside %d to %d", value, low, high)
		}
	}
	within := func(key string, value, low, high time.Duration) {
		if value < low || value > high {
			fault(key, "%s is outside %s to %s", value, low, high)
		}
	}
	oneOf := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if value == a {
				return
			}
		}
		fault(key, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
	within("quiet_time", c.QuietTime, 100*time.Millisecond, 24*time.Hour)
	within("limits.idle_time", c.Limits.IdleTime, time.Second, 24*time.Hour)
	between("limits.associations", int64(c.Limits.Associations), 1, 10000)
	between("limits.pdu_length", int64(c.Limits.PDULength), 4096, 1<<20)
	between("limits.attempts", int64(c.Limits.Attempts), 1, 1000)
	between("minimum_age", int64(c.MinimumAge), 0, 150)
	between("minimum_free_bytes", c.FreeSpace, 0, 1<<50)
	oneOf("engine", c.Engine, "auto", "xla", "xla:cuda", "xla:cpu", "go")
	oneOf("heat_map", c.HeatMap, HeatMapSC, HeatMapGSPS)
	oneOf("report_sections", c.Sections, SectionsPlain, SectionsRSNA)
	oneOf("duplicates", c.Duplicates, DuplicatesRefuse, DuplicatesAccept)
	oneOf("log_level", c.LogLevel, "debug", "info", "warn", "error")
	oneOf("log_format", c.LogFormat, "text", "json")
	return errors.Join(faults...)
}

// CriticalFindings are the findings of a configuration that passed Check.
func (c Config) CriticalFindings() []study.Finding {
	var findings []study.Finding
	for _, name := range c.Critical {
		if f, err := study.ParseFinding(name); err == nil {
			findings = append(findings, f)
		}
	}
	return findings
}

// ParseDestination reads AET@HOST:PORT.
func ParseDestination(text string) (Destination, error) {
	aet, address, ok := strings.Cut(text, "@")
	if !ok {
		return Destination{}, fmt.Errorf("destination %q is not of the form AET@HOST:PORT", text)
	}
	d := Destination{AETitle: aet, Address: address}
	if err := checkAETitle(aet); err != nil {
		return Destination{}, fmt.Errorf("destination %q: %w", text, err)
	}
	if err := checkAddress(address); err != nil {
		return Destination{}, fmt.Errorf("destination %q: %w", text, err)
	}
	return d, nil
}

func checkAETitle(aet string) error {
	if strings.TrimSpace(aet) == "" {
		return errors.New("an AE title must not be empty")
	}
	if len(aet) > maxAETitle {
		return fmt.Errorf("AE title %q is longer than %d characters", aet, maxAETitle)
	}
	for _, r := range aet {
		if r < 0x20 || r > 0x7e || r == '\\' {
			return fmt.Errorf("AE title %q has a character that PS3.5 does not allow", aet)
		}
	}
	return nil
}

// loopback reports whether only this machine can reach the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkPorts finds two listeners of one port: only the first would open.
func (c Config) checkPorts(fault func(key, format string, args ...any)) {
	listeners := []struct{ key, address string }{{"listen", c.Listen}, {"http", c.HTTP}, {"hl7.listen", c.HL7.Listen}}
	for i, one := range listeners {
		for _, other := range listeners[:i] {
			if samePort(one.address, other.address) {
				fault(one.key, "%s is taken by %s: %s", one.address, other.key, other.address)
			}
		}
	}
}

// samePort reports whether only one of two addresses can be listened on; what is no address, or names no port, is none.
func samePort(a, b string) bool {
	var hosts [2]string
	var ports [2]int
	for i, address := range []string{a, b} {
		host, name, err := net.SplitHostPort(address)
		if err != nil {
			return false
		}
		if ports[i], err = net.LookupPort("tcp", name); err != nil {
			return false
		}
		if host == "localhost" {
			host = "127.0.0.1"
		}
		if ip := net.ParseIP(host); ip.IsUnspecified() { // listens on all addresses, of both versions
			host = ""
		}
		hosts[i] = host
	}
	return ports[0] == ports[1] && ports[0] != 0 && (hosts[0] == "" || hosts[1] == "" || hosts[0] == hosts[1])
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT: %w", address, err)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%q has no usable port: %w", address, err)
	}
	return nil
}
