package signon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"llamaxr/daemon/config"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Back is the path to which the provider sends people back when they have logged in; when they have logged out it is that of the log-in page.
const (
	Back      = "/login/oidc/back"
	loginPath = "/login"
)

// Bounds of what is heard from a provider.
const (
	askTime   = 10 * time.Second // for all questions that lead to one answer of ours
	maxAnswer = 1 << 20          // of one answer: key sets and tokens have some kilobytes
)

// Skew is how far the provider's clock may be from ours.
const Skew = 2 * time.Minute

// Why somebody is not let in.
var (
	ErrProvider = errors.New("signon: the provider cannot be asked")
	ErrAttempt  = errors.New("signon: no such log-in was begun in this browser, or it took too long, or it came back before")
	ErrDenied   = errors.New("signon: the provider did not let him in")
	ErrToken    = errors.New("signon: what the provider said cannot be believed")
	ErrNoGroups = errors.New("signon: the provider says nothing of groups")
	ErrNoRole   = errors.New("signon: none of his groups has a role")
	ErrClient   = errors.New("signon: the provider refuses us as its client")
	ErrOver     = errors.New("signon: the provider's word counts no longer")
	ErrPerson   = errors.New("signon: the provider does not say well enough who he is")
)

// Provider is an OpenID provider as we, one of its clients, see it. It is asked for the first time when somebody logs in: a provider that is down
// keeps nothing from starting.
type Provider struct {
	cfg  config.OIDC
	site string // address of the reading room, without a slash at its end
	http *http.Client
	now  func() time.Time

	attempts attempts
}

// metadata is what the provider says of itself (OpenID Connect Discovery 1.0).
type metadata struct {
	provider *gooidc.Provider
	oauth    oauth2.Config
	said     struct {
		Authorization string   `json:"authorization_endpoint"`
		Token         string   `json:"token_endpoint"`
		Keys          string   `json:"jwks_uri"`
		UserInfo      string   `json:"userinfo_endpoint"`
		EndSession    string   `json:"end_session_endpoint"`
		AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
		NamesItself   bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207
	}
}

// New prepares for the provider of a configuration that passed its check. site is how browsers reach us. The secret is read, so that one that
// cannot be used is known at start.
func New(cfg config.OIDC, site string) (*Provider, error) {
	if _, err := config.ReadSecret(cfg.SecretFile); err != nil {
		return nil, fmt.Errorf("signon: %w", err)
	}
	credentials := cfg.Credentials()
	dialer := &net.Dialer{Timeout: askTime}
	transport := &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, MaxIdleConns: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: askTime,
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			settings, err := credentials.ClientConfig(host)
			if err != nil {
				return nil, err
			}
			return (&tls.Dialer{NetDialer: dialer, Config: settings}).DialContext(ctx, network, address)
		},
	}
	return &Provider{
		cfg: cfg, site: strings.TrimRight(site, "/"), now: time.Now,
		http: &http.Client{
			Transport: bounded{transport}, Timeout: askTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a secret goes where it was meant to go
		},
	}, nil
}

// Name is what people call the provider.
func (p *Provider) Name() string { return p.cfg.Name }

// Site is how browsers reach us.
func (p *Provider) Site() string { return p.site }

// bounded cuts answers off.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(q *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(q)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxAnswer), answer.Body}
	}
	return answer, err
}

// ask asks the provider what it says of itself: for each log-in, so that one that is down is known before a browser goes there.
func (p *Provider) ask(ctx context.Context) (*metadata, error) {
	m := new(metadata)
	var err error
	if m.provider, err = gooidc.NewProvider(gooidc.ClientContext(ctx, p.http), p.cfg.Issuer); err != nil {
		return nil, providerError("discovery", err)
	}
	if err := m.provider.Claims(&m.said); err != nil {
		return nil, providerError("discovery", err)
	}
	for what, address := range map[string]string{"authorization_endpoint": m.said.Authorization, "token_endpoint": m.said.Token, "jwks_uri": m.said.Keys} {
		if err := config.CheckWebAddress(address); err != nil {
			return nil, fmt.Errorf("%w: its %s %w", ErrProvider, what, err)
		}
	}
	for _, optional := range []*string{&m.said.UserInfo, &m.said.EndSession} {
		if config.CheckWebAddress(*optional) != nil {
			*optional = ""
		}
	}
	m.oauth = oauth2.Config{
		ClientID: p.cfg.ClientID, Endpoint: m.provider.Endpoint(), RedirectURL: p.site + Back, Scopes: append([]string{gooidc.ScopeOpenID}, p.cfg.Scopes...),
	}
	m.oauth.Endpoint.AuthStyle = p.authStyle(m.said.AuthMethods)
	return m, nil
}

// providerFault is what went wrong with a question: an ErrProvider.
type providerFault struct {
	what string
	err  error
}

func providerError(what string, err error) error { return &providerFault{what, err} }

// Error implements error; a provider's words may be long.
func (f *providerFault) Error() string {
	const most = 300
	return fmt.Sprintf("%v: %s: %.*s", ErrProvider, f.what, most, f.err.Error())
}

// Unwrap returns what it is and what was behind it.
func (f *providerFault) Unwrap() []error { return []error{ErrProvider, f.err} }

// Reach asks the provider what it says of itself, and whether it knows us by our secret: it is shown a code that it never gave. Nobody is logged in.
func (p *Provider) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	m, err := p.ask(ctx)
	if err != nil {
		return err
	}
	oauth, ctx, err := p.client(ctx, m)
	if err != nil {
		return err
	}
	_, err = oauth.Exchange(ctx, random(), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return fmt.Errorf("%w: it gives tokens for any code", ErrToken)
	case errors.As(err, &refused) && (refused.ErrorCode == "invalid_client" || refused.ErrorCode == "unauthorized_client"):
		return fmt.Errorf("%w: %.*q", ErrClient, maxSaid, refused.ErrorCode)
	case refused != nil && refused.ErrorCode != "":
		return nil // it does not know the code, as it should
	}
	return providerError("token", err)
}

// client is us with our secret, and a context in which the provider is asked.
func (p *Provider) client(ctx context.Context, m *metadata) (oauth2.Config, context.Context, error) {
	oauth := m.oauth
	var err error
	oauth.ClientSecret, err = config.ReadSecret(p.cfg.SecretFile)
	return oauth, gooidc.ClientContext(ctx, p.http), err
}

// authStyle is how the secret is shown: as the provider says, in the header where it says nothing (Discovery, section 3).
func (p *Provider) authStyle(methods []string) oauth2.AuthStyle {
	if p.cfg.SecretFile == "" {
		return oauth2.AuthStyleInParams // a public client names itself only
	}
	post := false
	for _, m := range methods {
		if m == "client_secret_basic" {
			return oauth2.AuthStyleInHeader
		}
		post = post || m == "client_secret_post"
	}
	if post {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

// logOut is where a browser logs out at the provider too (RP-Initiated Logout 1.0), which sends it back to our log-in page; empty where the
// provider has no such address.
func (p *Provider) logOut(m *metadata, idToken string) string {
	u, err := url.Parse(m.said.EndSession)
	if err != nil || m.said.EndSession == "" {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.cfg.ClientID)
	q.Set("post_logout_redirect_uri", p.site+loginPath)
	q.Set("id_token_hint", idToken)
	u.RawQuery = q.Encode()
	return u.String()
}
