package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"llamaxr/internal/peertest"
)

// proven are the documents whose tables end with the tests that show what a row says, each at least so often.
var proven = map[string]int{"docs/SECURITY.md": 40, "docs/SAFETY.md": 45, "docs/INTEGRATION.md": 15}

// namedTest is how they name a test: TestName (path/to/package).
var namedTest = regexp.MustCompile(`\b((?:Test|Fuzz)[A-Z]\w*)(?: \(([\w/]+)\))?`)

// TestDocumentsNameTestsThatExist: each test that the threat model, the hazards and the list of peers rest on is in the package that they say, and each row
// under a column "test" names one or says none.
func TestDocumentsNameTestsThatExist(t *testing.T) {
	root := peertest.Root(t)
	packages := map[string]map[string]bool{}
	for document, least := range proven {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(document)))
		if err != nil {
			t.Fatal(err)
		}
		found, column := 0, false
		for i, line := range strings.Split(string(text), "\n") {
			tests := namedTest.FindAllStringSubmatch(line, -1)
			for _, test := range tests {
				name, folder := test[1], test[2]
				if folder == "" {
					t.Errorf("%s:%d: %s is named without its package", document, i+1, name)
					continue
				}
				if packages[folder] == nil {
					packages[folder] = testsOf(t, filepath.Join(root, filepath.FromSlash(folder)))
				}
				if !packages[folder][name] {
					t.Errorf("%s:%d: there is no %s in %s", document, i+1, name, folder)
				}
				found++
			}
			cells := strings.Split(strings.TrimSuffix(line, " |"), " | ")
			last := cells[len(cells)-1]
			switch {
			case !strings.HasPrefix(line, "|"):
				column = false
			case last == "test":
				column = true
			case column && !strings.HasPrefix(line, "| ---") && last != "none" && !namedTest.MatchString(last):
				t.Errorf("%s:%d: the row names no test, and does not say none", document, i+1)
			}
		}
		if found < least {
			t.Errorf("%s names %d tests, at least %d were there", document, found, least)
		}
	}
}

// testsOf returns the names of the tests and fuzz targets in a folder's test files; a folder that is not there has none.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && namedTest.MatchString(f.Name.Name) {
				tests[f.Name.Name] = true
			}
		}
	}
	return tests
}
