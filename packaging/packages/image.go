package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"llamaxr/systemd"
)

// The image's user: distroless images have the same number, so that volumes fit.
const (
	imageUser  = "65532"
	imageOwner = 65532
)

// Media types of the OCI image specification 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor names a blob (OCI image specification, "Content Descriptors").
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// layout is an OCI image layout ("Image Layout") as it grows: blobs by digest.
type layout map[string][]byte

// add keeps a blob.
func (l layout) add(mediaType string, blob []byte) descriptor {
	sum := digestOf(blob)
	l[sum] = blob
	return descriptor{MediaType: mediaType, Digest: sum, Size: len(blob)}
}

// addJSON keeps a document.
func (l layout) addJSON(mediaType string, document any) (descriptor, error) {
	blob, err := json.Marshal(document)
	return l.add(mediaType, blob), err
}

func digestOf(blob []byte) string {
	sum := sha256.Sum256(blob)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// image writes one layout with an image for each architecture, as a tar file that `podman load` and `skopeo copy oci-archive:` take.
func (r *release) image() error {
	blobs := layout{}
	var manifests []descriptor
	for _, arch := range r.arches {
		manifest, err := r.imageOf(blobs, arch)
		if err != nil {
			return err
		}
		manifest.Platform = &platform{Architecture: arch, OS: "linux"}
		manifests = append(manifests, manifest)
	}
	index, err := blobs.addJSON(typeIndex, map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": manifests})
	if err != nil {
		return err
	}
	// A tag has no "+" (distribution specification, "Pulling manifests").
	index.Annotations = map[string]string{"org.opencontainers.image.ref.name": strings.ReplaceAll(r.version, "+", "-")}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{index}})
	if err != nil {
		return err
	}
	return r.create("llamaxr-"+r.version+".oci.tar", func(out io.Writer) error { return blobs.write(out, top, r.epoch) })
}

// imageOf keeps the blobs of one architecture's image.
func (r *release) imageOf(blobs layout, arch string) (descriptor, error) {
	layer, err := r.layer(arch)
	if err != nil {
		return descriptor{}, err
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(layer); err != nil {
		return descriptor{}, err
	}
	if err := z.Close(); err != nil {
		return descriptor{}, err
	}
	created := r.epoch.Format(time.RFC3339)
	config, err := blobs.addJSON(typeConfig, map[string]any{
		"created": created, "architecture": arch, "os": "linux",
		"config": map[string]any{
			"User": imageUser + ":" + imageUser, "Entrypoint": []string{systemd.Program}, "Cmd": []string{"run", "--config", systemd.Config, "--state", systemd.State},
			"Env":          []string{"PATH=/usr/bin"},
			"WorkingDir":   "/",
			"Volumes":      map[string]any{systemd.State: struct{}{}},
			"ExposedPorts": map[string]any{"11112/tcp": struct{}{}},
			"StopSignal":   "SIGTERM",
			"Labels":       r.labels(created),
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer)}},
		"history": []any{map[string]any{"created": created, "created_by": "packaging/packages"}},
	})
	if err != nil {
		return descriptor{}, err
	}
	return blobs.addJSON(typeManifest, map[string]any{
		"schemaVersion": 2, "mediaType": typeManifest, "config": config, "layers": []descriptor{blobs.add(typeLayer, packed.Bytes())},
		"annotations": r.labels(created),
	})
}

// labels are the specification's pre-defined keys; that of the licence is left out because none is stated.
func (r *release) labels(created string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title": "llamaxr", "org.opencontainers.image.version": r.version, "org.opencontainers.image.created": created,
		"org.opencontainers.image.description": "drafts chest radiograph reports on a hospital's own machine",
	}
}

// layer is the whole file system: the program, what it documents, its user and its folders. There is no shell and no certificate of the public
// web in it: a site mounts the authorities that it trusts.
func (r *release) layer(arch string) ([]byte, error) {
	var out bytes.Buffer
	t := tar.NewWriter(&out)
	folder := func(name string, mode int64, owner int) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: r.epoch})
	}
	file := func(name, text string) error {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: r.epoch}); err != nil {
			return err
		}
		_, err := io.WriteString(t, text)
		return err
	}
	err := errors.Join(
		folder("etc", 0o755, 0), folder("etc/llamaxr", 0o755, 0),
		file("etc/passwd", "root:x:0:0:root:/:/sbin/nologin\nllamaxr:x:"+imageUser+":"+imageUser+":llamaxr appliance:"+systemd.State+":/sbin/nologin\n"),
		file("etc/group", "root:x:0:\nllamaxr:x:"+imageUser+":\n"),
		folder("tmp", 0o1777, 0),
		addTree(t, filepath.Join(r.tree(arch), "usr"), r.epoch, func(path string) string {
			for _, useless := range []string{"lib", "share/man", "share/bash-completion", "share/fish"} {
				if path == useless || strings.HasPrefix(path, useless+"/") {
					return ""
				}
			}
			return filepath.Join("usr", path)
		}),
		folder("var", 0o755, 0), folder("var/lib", 0o755, 0), folder("var/lib/llamaxr", 0o700, imageOwner),
		t.Close(),
	)
	return out.Bytes(), err
}

// write writes the layout: oci-layout, index.json and the blobs in the order of their digests.
func (l layout) write(out io.Writer, index []byte, when time.Time) error {
	t := tar.NewWriter(out)
	add := func(name string, content []byte) error {
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: when}); err != nil {
			return err
		}
		_, err := t.Write(content)
		return err
	}
	err := errors.Join(add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)), add("index.json", index))
	sums := make([]string, 0, len(l))
	for sum := range l {
		sums = append(sums, sum)
	}
	slices.Sort(sums)
	for _, sum := range sums {
		err = errors.Join(err, add("blobs/"+strings.Replace(sum, ":", "/", 1), l[sum]))
	}
	return errors.Join(err, t.Close())
}
