// Command packages makes what is released into one folder, for each architecture: a deb and an rpm (by nfpm, from packaging/nfpm.yaml), a tarball,
// an SBOM (CycloneDX, by cyclonedx-gomod), and for all of them an OCI image layout and SHA256SUMS.
//
//	go run ./packaging/packages -out out/packages
//
// The same commit makes the same bytes in any folder: times are the commit's (SOURCE_DATE_EPOCH, see reproducible-builds.org), the program is built
// with -trimpath, without cgo, and nothing says who built it where.
package main
