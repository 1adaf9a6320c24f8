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
		found, column := 0, false
		for i, line := range strings.Split(text(t, document), "\n") {
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

// requirement is a module that go.mod asks for by itself, moduleName one in the table of docs/DEPENDENCIES.md.
var (
	requirement = regexp.MustCompile(`(?m)^\t([a-z0-9.]+\.[a-z]+/\S+) v\S+$`)
	moduleName  = regexp.MustCompile(`(?:(?:[a-z0-9-]+\.)+[a-z]+|\bx)/[A-Za-z0-9./_-]+`)
)

// TestEachDependencyHasItsReason: docs/DEPENDENCIES.md has a row for each module that go.mod asks for, and none for one that is gone.
func TestEachDependencyHasItsReason(t *testing.T) {
	mod := text(t, "go.mod")
	rows := map[string]bool{}
	for line := range strings.Lines(text(t, "docs/DEPENDENCIES.md")) {
		if cells := strings.Split(line, " | "); strings.HasPrefix(line, "| ") && len(cells) == 3 {
			for _, name := range moduleName.FindAllString(cells[0], -1) {
				if strings.HasPrefix(name, "x/") {
					name = "golang.org/" + name
				}
				rows[name] = true
				if !strings.Contains(mod, "\t"+name+" v") {
					t.Errorf("docs/DEPENDENCIES.md has a reason for %s, which go.mod does not have", name)
				}
			}
		}
	}
	asked := requirement.FindAllStringSubmatch(mod, -1)
	for _, found := range asked {
		if !rows[found[1]] {
			t.Errorf("docs/DEPENDENCIES.md has no reason for %s", found[1])
		}
	}
	if len(asked) < 20 {
		t.Errorf("only %d modules are asked for", len(asked))
	}
}

// checkName is how a check of the doctor says its name.
var checkName = regexp.MustCompile(`(?:v\.(?:ok|warn|fail)\(|const name = )"([a-z -]+)"`)

// TestEachCheckOfTheDoctorIsExplained: docs/ADMIN.md has a row for each check, and none for one that is not made.
func TestEachCheckOfTheDoctorIsExplained(t *testing.T) {
	made := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(peertest.Root(t), "daemon", "doctor", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		for _, found := range checkName.FindAllStringSubmatch(text(t, "daemon/doctor/"+filepath.Base(path)), -1) {
			made[found[1]] = true
		}
	}
	_, table, _ := strings.Cut(text(t, "docs/ADMIN.md"), "\n| check | fails or warns when | do |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	explained := map[string]bool{}
	for line := range strings.Lines(table) {
		if first, _, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | "); ok && !strings.HasPrefix(first, "-") {
			for name := range strings.SplitSeq(first, ", ") {
				if explained[name] = true; !made[name] {
					t.Errorf("docs/ADMIN.md explains %q, which is not made", name)
				}
			}
		}
	}
	for name := range made {
		if !explained[name] {
			t.Errorf("docs/ADMIN.md does not explain %q", name)
		}
	}
	if len(made) < 18 {
		t.Errorf("only %d checks: %v", len(made), made)
	}
}

// text is a file of the project.
func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(peertest.Root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
