// Package config reads the appliance's one configuration file: YAML, strict (an unknown key is an error that names its line),
// with every key documented where it is declared and printed by `llamaxr config explain`.
//
//	cfg, err := config.Load("/etc/llamaxr/llamaxr.yaml")
package config
