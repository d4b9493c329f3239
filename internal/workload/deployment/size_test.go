package deployment

import "testing"

func TestACanaryHasRoomForItsWeight(t *testing.T) {
	for _, c := range []struct {
		n       int32
		percent int
		ratio   bool
		want    int32
	}{
		{4, 5, false, 1}, {4, 25, false, 1}, {4, 26, false, 2}, {4, 50, false, 2}, {4, 100, false, 4},
		{100, 5, false, 5}, {3, 10, false, 1}, {1, 1, false, 1}, {0, 50, false, 0}, {4, 0, false, 0},
		{19, 5, true, 1}, {20, 5, true, 1}, {10, 10, true, 1}, {10, 25, true, 3}, {10, 50, true, 10},
		{4, 5, true, 1}, {4, 100, true, 4}, {0, 5, true, 0}, {95, 5, true, 5}, {100, 5, true, 5},
	} {
		if got := sizeFor(c.n, c.percent, c.ratio); got != c.want {
			t.Errorf("%d pods at %d %% (ratio %v): %d, want %d", c.n, c.percent, c.ratio, got, c.want)
		}
	}
}

// S2: the size for a weight has capacity for it, and one pod fewer has not.
func TestTheSizeForAWeightIsTheLeastThatCanTakeIt(t *testing.T) {
	for n := int32(1); n <= 120; n++ {
		for percent := 1; percent <= 100; percent++ {
			size := sizeFor(n, percent, false)
			if capacityOf(n, size) < percent {
				t.Fatalf("%d of %d pods have capacity %d, want %d", size, n, capacityOf(n, size), percent)
			}
			if size > 1 && capacityOf(n, size-1) >= percent {
				t.Fatalf("%d of %d pods would do for %d %%, asked for %d", size-1, n, percent, size)
			}
			if size = sizeFor(n, percent, true); ratioCapacityOf(n, size) < percent {
				t.Fatalf("ratio: %d beside %d pods have capacity %d, want %d", size, n, ratioCapacityOf(n, size), percent)
			}
			// S1 for a plain Service, where one pod is not too many already.
			if share := float64(size) / float64(n+size); percent < 100 && size > 1 && share > float64(percent)/100+1e-9 {
				t.Fatalf("ratio: %d beside %d pods have a share of %.3f at weight %d", size, n, share, percent)
			}
		}
	}
	if got := ratioCapacityOf(10, 0); got != 0 {
		t.Errorf("no ready pod has capacity %d", got)
	}
	if got := capacityOf(4, 6); got != 100 {
		t.Errorf("pods beyond the Deployment's size have capacity %d, want 100", got)
	}
}

func TestVersionsAreImageTagsWhereTheyTellThemApart(t *testing.T) {
	for image, want := range map[string]string{
		"shop:v2": "v2", "registry:5000/team/shop:1.4.2": "1.4.2", "registry:5000/team/shop": "latest", "shop": "latest",
		"shop@sha256:0123456789abcdef0123": "0123456789ab", "shop:v2@sha256:0123456789abcdef": "v2", "": "",
	} {
		if got := imageTag(image); got != want {
			t.Errorf("%q is called %q, want %q", image, got, want)
		}
	}
	if s, c := versions(template("shop:v1"), template("shop:v2"), "aaa", "bbb"); s != "v1" || c != "v2" {
		t.Errorf("called %s and %s, want v1 and v2", s, c)
	}
	other := template("shop:v1")
	other.Spec.Containers[0].Args = []string{"-fast"}
	if s, c := versions(template("shop:v1"), other, "aaa", "bbb"); s != "aaa" || c != "bbb" {
		t.Errorf("of the same tag: called %s and %s, want the hashes", s, c)
	}
}
