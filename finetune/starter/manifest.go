package starter

import (
	"fmt"
	"os"
	"path/filepath"

	"llamaxr/inference/models"
)

// Version of the starter bundle: raised when its models are trained again with other data or settings.
const Version = "1"

// WriteManifest lists every file of the bundle with its digest.
func WriteManifest(folder string) error {
	text, err := models.WriteManifest(os.DirFS(folder), models.Manifest{
		Name: "llamaxr starter bundle", Version: Version, Licence: "as the project",
		Source: "trained by `make starter` on synthetic phantoms and a grammar; not for clinical use",
	})
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	return writeFile(filepath.Join(folder, models.ManifestFile), text)
}
