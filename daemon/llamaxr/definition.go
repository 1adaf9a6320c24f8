package main

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"llamaxr/systemd"

	"github.com/kardianos/service"
)

// serviceName is what every service manager knows the appliance by.
const serviceName = "llamaxr"

// installation is where a service's parts lie and whom it runs as.
type installation struct {
	program, config, state, user string
}

// defaultInstallation follows each system's customs.
func defaultInstallation(goos string) installation {
	switch goos {
	case "windows":
		root := filepath.Join(os.Getenv("ProgramData"), serviceName)
		return installation{config: filepath.Join(root, "llamaxr.yaml"), state: filepath.Join(root, "state"), user: `NT AUTHORITY\LocalService`}
	case "darwin":
		const root = "/Library/Application Support/llamaxr/"
		return installation{config: root + "llamaxr.yaml", state: root + "state", user: "_llamaxr"}
	}
	return installation{config: systemd.Config, state: systemd.State, user: systemd.User}
}

// definition is the service as a system's manager takes it. The files of systemd and launchd are whole here, not templates: what is tested is
// what is installed.
func definition(goos string, in installation) *service.Config {
	c := &service.Config{
		Name: serviceName, DisplayName: "llamaxr appliance", Description: "Drafts chest radiograph reports on this machine",
		Executable: in.program, UserName: in.user, Arguments: []string{"run", "--config", in.config, "--state", in.state},
	}
	switch goos {
	case "linux":
		c.Option = service.KeyValue{"SystemdScript": systemd.Unit(in.program, in.config, in.state, in.user)}
	case "darwin":
		c.Option = service.KeyValue{"LaunchdConfig": launchd(c)}
	case "windows":
		c.Option = service.KeyValue{"StartType": "automatic", "OnFailure": "restart", "OnFailureDelayDuration": "5s", "OnFailureResetPeriod": 300}
	}
	return c
}

// launchd writes a property list by launchd.plist(5): started with the machine, again when it fails, no core dumps, files for the owner only,
// and a minute to drain.
func launchd(c *service.Config) string {
	var arguments strings.Builder
	for _, a := range append([]string{c.Executable}, c.Arguments...) {
		fmt.Fprintf(&arguments, "\t\t<string>%s</string>\n", escape(a))
	}
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	<string>%s</string>
	<key>ProgramArguments</key>
	<array>
%s	</array>
	<key>UserName</key>
	<string>%s</string>
	<key>RunAtLoad</key>
	<true/>
	<key>KeepAlive</key>
	<dict>
		<key>SuccessfulExit</key>
		<false/>
	</dict>
	<key>ThrottleInterval</key>
	<integer>5</integer>
	<key>ExitTimeOut</key>
	<integer>60</integer>
	<key>Umask</key>
	<integer>63</integer>
	<key>HardResourceLimits</key>
	<dict>
		<key>Core</key>
		<integer>0</integer>
	</dict>
	<key>StandardErrorPath</key>
	<string>/var/log/llamaxr.log</string>
</dict>
</plist>
`, c.Name, arguments.String(), escape(c.UserName))
}

func escape(text string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(text)) // a strings.Builder takes everything
	return out.String()
}
