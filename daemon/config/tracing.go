package config

import "net/url"

// Tracing is where traces go.
type Tracing struct {
	Endpoint string `yaml:"endpoint" explain:"URL of an OpenTelemetry collector that takes OTLP over HTTP with JSON, as http://collector:4318; empty is no tracing"`
}

// checkTracing reports what is wrong with it.
func (c Config) checkTracing(fault func(key, format string, args ...any)) {
	if c.Tracing.Endpoint == "" {
		return
	}
	u, err := url.Parse(c.Tracing.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fault("tracing.endpoint", "%q is not a URL as http://HOST:PORT", c.Tracing.Endpoint)
	}
}
