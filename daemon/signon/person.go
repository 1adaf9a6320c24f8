package signon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"llamaxr/daemon/access"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Person is who the provider vouches for.
type Person struct {
	access.User
	Subject string // at the provider, for good; the user name may be given to another one day
	LogOut  string // where a browser logs out at the provider too; empty where it cannot
	To      string // where he wanted to go
	Word    *Word  // what he is from now on
}

// maxSaid bounds what is repeated of a provider's own error.
const maxSaid = 100

// Finish lets somebody in who comes back with query, from the browser that shows binding.
func (p *Provider) Finish(ctx context.Context, query url.Values, binding string) (Person, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	one, err := p.attempts.take(query.Get("state"), binding, p.now())
	if err != nil {
		return Person{}, err
	}
	m := one.provider
	// RFC 9207: an answer of another provider is not taken to this one.
	if iss := query.Get("iss"); iss != p.cfg.Issuer && (iss != "" || m.said.NamesItself) {
		return Person{}, fmt.Errorf("%w: the answer comes from issuer %.*q", ErrToken, maxSaid, iss)
	}
	if said := query.Get("error"); said != "" {
		return Person{}, fmt.Errorf("%w: %.*q", ErrDenied, maxSaid, said)
	}
	person, err := p.redeem(ctx, query.Get("code"), one)
	person.To = one.to
	return person, err
}

// redeem exchanges a code for tokens and believes them, or says why not (OpenID Connect Core 1.0, 3.1.3).
func (p *Provider) redeem(ctx context.Context, code string, one attempt) (Person, error) {
	m := one.provider
	oauth, ctx, err := p.client(ctx, m)
	if err != nil {
		return Person{}, providerError("token", err)
	}
	tokens, err := oauth.Exchange(ctx, code, oauth2.VerifierOption(one.verifier))
	if err != nil {
		return Person{}, tokenError(err, fmt.Errorf("%w: the provider does not know the code", ErrToken))
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return Person{}, fmt.Errorf("%w: there is no ID token", ErrToken)
	}
	claims := map[string]any{}
	token, err := p.believe(ctx, m, tokens, raw, claims)
	if err != nil {
		return Person{}, err
	}
	if token.Nonce != one.nonce {
		return Person{}, fmt.Errorf("%w: its nonce is not the one that was asked with", ErrToken)
	}
	if err := p.complete(ctx, m, tokens, token.Subject, claims); err != nil {
		return Person{}, err
	}
	user, err := p.user(token.Subject, claims)
	word := &Word{provider: p, subject: token.Subject, user: user, refresh: tokens.RefreshToken, heard: p.now()}
	return Person{User: user, Subject: token.Subject, LogOut: p.logOut(m, raw), Word: word}, err
}

// tokenError is why no tokens were given; unknown is what it means when they were asked for with what the provider does not know.
func tokenError(err, unknown error) error {
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
		return unknown
	case errors.As(err, &refused):
		return fmt.Errorf("%w: status %d, %.*q", ErrProvider, refused.Response.StatusCode, maxSaid, refused.ErrorCode)
	}
	return providerError("token", err)
}

// believe reads the claims of an ID token, or says why it cannot be believed.
func (p *Provider) believe(ctx context.Context, m *metadata, tokens *oauth2.Token, raw string, claims map[string]any) (*gooidc.IDToken, error) {
	verifier := m.provider.Verifier(&gooidc.Config{ClientID: p.cfg.ClientID, Now: func() time.Time { return p.now().Add(-Skew) }})
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if err := token.Claims(&claims); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	azp, named := claims["azp"]
	switch {
	case token.Subject == "", token.IssuedAt.IsZero():
		return nil, fmt.Errorf("%w: it has no subject or no time", ErrToken)
	case token.IssuedAt.After(p.now().Add(Skew)):
		return nil, fmt.Errorf("%w: it is of the future, %s", ErrToken, token.IssuedAt.UTC().Format(time.RFC3339))
	case named && azp != p.cfg.ClientID, !named && len(token.Audience) > 1:
		return nil, fmt.Errorf("%w: it was given to another client", ErrToken)
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrToken, err)
		}
	}
	return token, nil
}

// complete adds what the ID token does not say and the provider tells of the same person when it is asked (UserInfo, Core 5.3).
func (p *Provider) complete(ctx context.Context, m *metadata, tokens *oauth2.Token, subject string, claims map[string]any) error {
	if m.said.UserInfo == "" || tokens.AccessToken == "" || lookUp(claims, p.cfg.Groups) != nil && lookUp(claims, p.cfg.UserClaim) != nil {
		return nil
	}
	info, err := m.provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return providerError("UserInfo", err)
	}
	if info.Subject != subject {
		return fmt.Errorf("%w: UserInfo tells of somebody else", ErrToken)
	}
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return fmt.Errorf("%w: UserInfo: %w", ErrToken, err)
	}
	for name, value := range more {
		if _, said := claims[name]; !said {
			claims[name] = value
		}
	}
	return nil
}

// user is who the claims tell of, with the roles that his groups have.
func (p *Provider) user(subject string, claims map[string]any) (access.User, error) {
	name, _ := lookUp(claims, p.cfg.UserClaim).(string)
	switch {
	case name == "":
		return access.User{}, fmt.Errorf("%w: it says no %s of %q", ErrPerson, p.cfg.UserClaim, subject)
	case p.cfg.UserClaim == "email" && claims["email_verified"] == false:
		return access.User{}, fmt.Errorf("%w: the address of %q is not verified", ErrPerson, subject)
	}
	groups, said := texts(lookUp(claims, p.cfg.Groups))
	if !said {
		return access.User{Name: name}, fmt.Errorf("%w: no claim %s for %q", ErrNoGroups, p.cfg.Groups, name)
	}
	var roles []access.Role
	for _, r := range []struct {
		role   access.Role
		groups []string
	}{
		{access.Reader, p.cfg.Roles.Reader}, {access.Signer, p.cfg.Roles.Signer}, {access.Trainer, p.cfg.Roles.Trainer}, {access.Admin, p.cfg.Roles.Admin},
	} {
		if slices.ContainsFunc(r.groups, func(g string) bool { return slices.Contains(groups, g) }) {
			roles = append(roles, r.role)
		}
	}
	if len(roles) == 0 {
		return access.User{Name: name}, fmt.Errorf("%w: %q is in %d groups", ErrNoRole, name, len(groups))
	}
	user, err := access.SignedOn(name, personName(claims), roles)
	if err != nil {
		return access.User{}, fmt.Errorf("%w: %w", ErrPerson, err)
	}
	return user, nil
}

// lookUp finds a claim by its name, or else by a path of names with dots between; nil when there is none.
func lookUp(claims map[string]any, name string) any {
	if value, ok := claims[name]; ok {
		return value
	}
	first, rest, ok := strings.Cut(name, ".")
	if inner, is := claims[first].(map[string]any); ok && is {
		return lookUp(inner, rest)
	}
	return nil
}

// texts reads a list of texts, or a single one.
func texts(value any) (out []string, ok bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		for _, v := range value {
			if text, is := v.(string); is {
				out = append(out, text)
			}
		}
		return out, true
	}
	return nil, false
}

// personName makes a DICOM person name (PS3.5, 6.2) of the standard claims: family and given name, or the whole name where that is all there is.
func personName(claims map[string]any) string {
	text := func(claim string) string {
		said, _ := claims[claim].(string)
		return strings.Join(strings.FieldsFunc(said, func(r rune) bool { return r < ' ' || strings.ContainsRune(`^=\`, r) }), " ")
	}
	family, given := text("family_name"), text("given_name")
	if family == "" {
		return cmp.Or(text("name"), given)
	}
	return strings.TrimRight(family+"^"+given, "^")
}
