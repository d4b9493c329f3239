package deployment

import (
	"strings"
	"testing"
)

func TestMistakesInTheFileAreNamed(t *testing.T) {
	for name, message := range map[string]string{
		"shop": "", "shop-v2.eu": "", "": "is missing", "Shop": "no name that a Deployment can have", "shop/api": "no name", "-shop": "no name",
	} {
		problems := (&Config{Name: name}).Validate()
		switch {
		case message == "" && len(problems) > 0:
			t.Errorf("%q: %+v, want no problem", name, problems)
		case message != "" && (len(problems) != 1 || problems[0].Field != "name" || problems[0].Mend == "" || !strings.Contains(problems[0].Message, message)):
			t.Errorf("%q: %+v, want one about its name with a mend", name, problems)
		}
	}
	if _, err := NewTarget(Config{}, Env{}); err == nil {
		t.Error("a Deployment without a name was taken")
	}
	if _, err := New(Config{Name: "shop"}, Env{}); err == nil {
		t.Error("a run without a name was taken")
	}
}
