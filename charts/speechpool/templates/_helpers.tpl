{{/* Prefix of every object's name: the release's name, with the chart's where that does not say it. */}}
{{- define "speechpool.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Prefix of the names of cluster-wide objects: two releases, each for one namespace, must not share them. */}}
{{- define "speechpool.clusterName" -}}
{{- include "speechpool.fullname" . -}}{{- with .Values.watchNamespace }}-{{ . }}{{ end -}}
{{- end -}}

{{/* (dict "root" $ "component" "operator") */}}
{{- define "speechpool.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "speechpool.labels" -}}
{{ include "speechpool.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: speechpool
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of one object: (dict "root" $ "component" "operator" "name" "…"), "namespace" where it is not the release's,
     "clusterWide" for none, "annotations", "labels" for more of them */}}
{{- define "speechpool.metadata" -}}
name: {{ .name }}
{{- if not .clusterWide }}
namespace: {{ default .root.Release.Namespace .namespace }}
{{- end }}
labels:
  {{- include "speechpool.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (default (dict) .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* One image: (dict "root" $ "image" .Values.image.operator); a digest wins over a tag. */}}
{{- define "speechpool.image" -}}
{{- with .root.Values.image.registry -}}{{ trimSuffix "/" . }}/{{- end -}}
{{- .image.repository -}}
{{- if .image.digest -}}
@{{ .image.digest }}
{{- else -}}
:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* (dict "root" $ "component" "operator" "values" .Values.operator) */}}
{{- define "speechpool.serviceAccountName" -}}
{{- default (printf "%s-%s" (include "speechpool.fullname" .root) .component) .values.serviceAccount.name -}}
{{- end -}}

{{- define "speechpool.secretName" -}}
{{ include "speechpool.fullname" . }}-certificates
{{- end -}}

{{/* Name of the ConfigMap with the CA, the same in every namespace: sidecars mount it. */}}
{{- define "speechpool.caConfigMapName" -}}
speechpool-ca
{{- end -}}

{{/* The Secret that the operator or the injector serves with: (dict "root" $ "component" "operator") */}}
{{- define "speechpool.servingSecretName" -}}
{{- if eq .root.Values.certificates.mode "certManager" -}}
{{ include "speechpool.fullname" .root }}-{{ .component }}-tls
{{- else -}}
{{ include "speechpool.secretName" .root }}
{{- end -}}
{{- end -}}

{{/* Where sidecars find the operator. */}}
{{- define "speechpool.operatorAddress" -}}
{{ include "speechpool.fullname" . }}-operator.{{ .Release.Namespace }}.svc:8443
{{- end -}}

{{/* The program of the second Deployment: the webhook, or only what keeps the certificates; empty for none. */}}
{{- define "speechpool.injectorProgram" -}}
{{- if eq .Values.injection.mode "webhook" -}}
injector
{{- else if eq .Values.certificates.mode "self" -}}
certificates
{{- end -}}
{{- end -}}
