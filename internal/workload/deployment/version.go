package deployment

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// versions returns what people call two templates: the tags of their first
// containers' images, or the hashes where the tags are the same.
func versions(stable, canary corev1.PodTemplateSpec, stableHash, canaryHash string) (string, string) {
	s, c := version(stable, stableHash), version(canary, canaryHash)
	if s == c {
		return stableHash, canaryHash
	}
	return s, c
}

// version returns what people call one template.
func version(t corev1.PodTemplateSpec, hash string) string {
	if len(t.Spec.Containers) == 0 {
		return hash
	}
	if tag := imageTag(t.Spec.Containers[0].Image); tag != "" {
		return tag
	}
	return hash
}

// shownDigits is how much of an image's digest is shown.
const shownDigits = 12

// imageTag returns an image's tag, or the start of its digest, or "latest"
// when it has neither.
func imageTag(image string) string {
	if image == "" {
		return ""
	}
	image, digest, pinned := strings.Cut(image, "@")
	name := image[strings.LastIndexByte(image, '/')+1:]
	if _, tag, ok := strings.Cut(name, ":"); ok {
		return tag
	}
	if !pinned {
		return "latest"
	}
	_, digits, _ := strings.Cut(digest, ":")
	return digits[:min(len(digits), shownDigits)]
}
