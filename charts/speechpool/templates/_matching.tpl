{{/* Which pods are injected, for the webhooks and for the policy's bindings alike: JSON of a list of
     {name, namespaceSelector, objectSelector}. Control-plane namespaces and our own components never match: what
     starts speech must not wait for itself. */}}
{{- define "speechpool.matches" -}}
{{- $own := .Release.Namespace -}}
{{- $watched := .Values.watchNamespace -}}
{{- $where := list -}}
{{- if $watched -}}
{{- $where = append $where (dict "key" "kubernetes.io/metadata.name" "operator" "In" "values" (list $watched)) -}}
{{- end -}}
{{- $never := concat (list "kube-system" "kube-public" "kube-node-lease") (ternary (list) (list $own) (eq $watched $own)) .Values.injection.excludeNamespaces -}}
{{- $where = append $where (dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (uniq $never)) -}}
{{- $ours := dict "key" "app.kubernetes.io/name" "operator" "NotIn" "values" (list .Chart.Name) -}}
{{- $label := "speechpool.dev/inject" -}}
{{- $pods := dict "name" "pod"
    "namespaceSelector" (dict "matchExpressions" $where)
    "objectSelector" (dict "matchExpressions" (list
      (dict "key" $label "operator" "Exists")
      (dict "key" $label "operator" "NotIn" "values" (list "false"))
      $ours)) -}}
{{- $namespaces := dict "name" "namespace"
    "namespaceSelector" (dict "matchExpressions" $where "matchLabels" (dict $label "enabled"))
    "objectSelector" (dict "matchExpressions" (list (dict "key" $label "operator" "DoesNotExist") $ours)) -}}
{{- $matches := list $pods $namespaces -}}
{{- if .Values.test.enabled -}}
{{- $matches = append $matches (dict "name" "test"
    "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" $own))
    "objectSelector" (dict "matchLabels" (dict $label "true" "app.kubernetes.io/component" "test" "app.kubernetes.io/name" .Chart.Name "app.kubernetes.io/instance" .Release.Name))) -}}
{{- end -}}
{{- toJson $matches -}}
{{- end -}}
