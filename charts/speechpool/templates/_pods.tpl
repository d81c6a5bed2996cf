{{/* What the pods of all components have in common. Each takes (dict "root" $ "component" "operator" "values" .Values.operator). */}}

{{- define "speechpool.podMetadata" -}}
labels:
  {{- include "speechpool.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .component }}
  {{- with mergeOverwrite (dict) .root.Values.commonAnnotations .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Everything of a pod's spec but its containers and volumes. */}}
{{- define "speechpool.podSpec" -}}
serviceAccountName: {{ include "speechpool.serviceAccountName" . }}
automountServiceAccountToken: {{ default false .token }}
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.priorityClassName .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- with .values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.nodeSelector .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default .root.Values.tolerations .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "speechpool.affinity" . }}
affinity:
  {{- . | nindent 2 }}
{{- end }}
{{- with include "speechpool.topologySpread" . }}
topologySpreadConstraints:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Replicas of a component keep apart by node where they can, unless an affinity is given. */}}
{{- define "speechpool.affinity" -}}
{{- if .values.affinity -}}
{{ toYaml .values.affinity }}
{{- else if gt (int .values.replicas) 1 -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
  - weight: 100
    podAffinityTerm:
      topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "speechpool.selectorLabels" . | nindent 10 }}
{{- end -}}
{{- end -}}

{{/* And by zone, unless constraints are given. */}}
{{- define "speechpool.topologySpread" -}}
{{- if .values.topologySpreadConstraints -}}
{{ toYaml .values.topologySpreadConstraints }}
{{- else if gt (int .values.replicas) 1 -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "speechpool.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end -}}

{{/* Head of the one container: image, program, rights, resources, probes. "program" is the argument of speechpool-operator. */}}
{{- define "speechpool.container" -}}
name: {{ .component }}
image: {{ include "speechpool.image" (dict "root" .root "image" .root.Values.image.operator) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args:
- {{ .program }}
{{- with .values.extraArgs }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
livenessProbe:
  httpGet:
    path: /livez
    port: telemetry
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet:
    path: /readyz
    port: telemetry
  periodSeconds: 2
  timeoutSeconds: 5
startupProbe:
  httpGet:
    path: /livez
    port: telemetry
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
{{- end -}}

{{/* Environment that every program of the operator's image has; "prefix" is SPEECHPOOL_OPERATOR or a sibling. */}}
{{- define "speechpool.commonEnv" -}}
- name: {{ .prefix }}_LOG_LEVEL
  value: {{ default .root.Values.logLevel .values.logLevel }}
- name: {{ .prefix }}_LOG_FORMAT
  value: {{ .root.Values.logFormat }}
- name: {{ .prefix }}_TELEMETRY_ADDRESS
  value: {{ include "speechpool.listen" (dict "root" .root "port" 8080) | quote }}
{{- if ne .component "upgrader" }}
- name: {{ .prefix }}_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- end }}
{{- end -}}

{{/* host:port of a listener on all addresses */}}
{{- define "speechpool.listen" -}}
{{ .root.Values.listenHost }}:{{ .port }}
{{- end -}}
