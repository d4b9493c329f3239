// Package policy holds the admission policy by which the API server itself
// holds a Deployment whose template changes, also while Serin is down. It only
// makes the objects; who installs them applies them.
package policy

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	serinv1 "serin.dev/serin/api/v1alpha1"
)

// Name is the name of the policy and of its binding.
const Name = "serin-hold"

// Hold returns the policy that holds labelled Deployments, and its binding.
// serin is the user name of the service account that Serin runs as, such as
// system:serviceaccount:serin:serin.
//
// A Deployment is paused by an update that changes its template. A hold that is
// on stays on, whoever leaves spec.paused out of a full replacement or resumes
// it: only Serin releases it, or who takes the label away in the same update.
// When a person resumes a Deployment of which nothing waits to be released,
// Serin releases it at once.
//
// The policy says nothing about what does not change the template, and nothing
// about Deployments without the label.
func Hold(serin string) (*admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyBinding) {
	policy := &admissionv1.MutatingAdmissionPolicy{
		TypeMeta:   typeMeta("MutatingAdmissionPolicy"),
		ObjectMeta: metav1.ObjectMeta{Name: Name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				MatchPolicy: new(admissionv1.Equivalent),
				// The selector also matches the object as it was, so who takes the
				// label away is still looked at below.
				ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: serinv1.RolloutLabel, Operator: metav1.LabelSelectorOpExists},
				}},
				NamespaceSelector: &metav1.LabelSelector{},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Update},
						Rule: admissionv1.Rule{
							APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"},
							Scope: new(admissionv1.NamespacedScope),
						},
					},
				}},
			},
			MatchConditions: []admissionv1.MatchCondition{
				{Name: "by-others-than-serin", Expression: byOthers + literal(serin)},
				{Name: "still-labelled", Expression: fmt.Sprintf("has(object.metadata.labels) && %s in object.metadata.labels", literal(serinv1.RolloutLabel))},
				{Name: "not-paused", Expression: "!" + paused("object")},
				{Name: "template-changed-or-hold-dropped", Expression: "object.spec.template != oldObject.spec.template || " + paused("oldObject")},
			},
			Mutations: []admissionv1.Mutation{{
				PatchType:          admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: "Object{spec: Object.spec{paused: true}}"},
			}},
			// Nothing that the policy reads can be missing, so this says what happens
			// when it is not understood: a template is not released unseen.
			FailurePolicy: new(admissionv1.Fail),
			// Other policies and webhooks may change the template.
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		TypeMeta:   typeMeta("MutatingAdmissionPolicyBinding"),
		ObjectMeta: metav1.ObjectMeta{Name: Name},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: Name},
	}
	return policy, binding
}

// byOthers begins the expression that names the account that Serin runs as.
const byOthers = "request.userInfo.username != "

// Account returns the account that Hold was called with, from the expression of
// one of the policy's match conditions; empty: the expression names none.
func Account(expression string) string {
	name, ok := strings.CutPrefix(expression, byOthers)
	if !ok {
		return ""
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(strings.Trim(name, "'"))
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: kind}
}

func paused(object string) string {
	return fmt.Sprintf("(has(%[1]s.spec.paused) && %[1]s.spec.paused)", object)
}

// literal writes a string of CEL.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
