{{/* The injection as CEL. Every list and map that goes into a patch is of dyn values: the API server panics over lists of
     typed objects (1.35.4), and wants one type in a list. Tests hold what comes out against what the injector makes. */}}

{{- define "speechpool.policyVersion" -}}
{{- $kind := "MutatingAdmissionPolicy" -}}
{{- if .Values.injection.policy.apiVersion -}}
{{ .Values.injection.policy.apiVersion }}
{{- else if or (.Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1/%s" $kind)) (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) -}}
v1
{{- else if or (.Capabilities.APIVersions.Has (printf "admissionregistration.k8s.io/v1beta1/%s" $kind)) (semverCompare ">=1.34.0-0" .Capabilities.KubeVersion.Version) -}}
v1beta1
{{- else -}}
{{- fail (printf "injection.mode policy needs MutatingAdmissionPolicy, from Kubernetes 1.34 on; this is %s. Set injection.mode to webhook" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}

{{/* A value of Helm as a CEL expression; a text that begins with "cel:" is one already. */}}
{{- define "speechpool.cel" -}}
{{- if kindIs "map" . -}}
{ {{- range $at, $key := keys . | sortAlpha }}{{ if $at }}, {{ end }}{{ $key | squote }}: dyn({{ include "speechpool.cel" (get $ $key) }}){{ end -}} }
{{- else if kindIs "slice" . -}}
[{{- range $at, $one := . }}{{ if $at }}, {{ end }}dyn({{ include "speechpool.cel" $one }}){{ end -}}]
{{- else if kindIs "string" . -}}
{{- if hasPrefix "cel:" . -}}{{ trimPrefix "cel:" . }}{{- else -}}{{ . | toRawJson }}{{- end -}}
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else -}}
{{ int64 . }}
{{- end -}}
{{- end -}}

{{- define "speechpool.policyVariables" -}}
{{- $sidecar := .Values.sidecar -}}
- name: annotations
  expression: "has(object.metadata.annotations) ? object.metadata.annotations : {'': ''}"
- name: inits
  expression: "has(object.spec.initContainers) ? object.spec.initContainers : []"
# right after what carries the pod's traffic, else first
- name: at
  expression: >-
    size(variables.inits.filter(c, c.name in {{ include "speechpool.policyMesh" . }} && has(c.restartPolicy))) == 0 ? 0 :
    variables.inits.map(c, c.name in {{ include "speechpool.policyMesh" . }} && has(c.restartPolicy)).lastIndexOf(true) + 1
- name: fsGroup
  expression: "has(object.spec.securityContext) && has(object.spec.securityContext.fsGroup)"
- name: grace
  expression: "has(object.spec.terminationGracePeriodSeconds) ? object.spec.terminationGracePeriodSeconds : 30"
- name: hostNetwork
  expression: "has(object.spec.hostNetwork) && object.spec.hostNetwork"
- name: regionGiven
  expression: "variables.annotations[?'speechpool.dev/azure-region'].orValue('').matches('^[a-z][a-z0-9]{1,49}$')"
- name: endpointGiven
  expression: "variables.annotations[?'speechpool.dev/azure-endpoint'].orValue('').matches(r'^(https?|wss?)://[^\\s@?#]{1,500}$')"
# of the two an endpoint holds, and each takes the place of the platform's other one
- name: region
  expression: >-
    variables.endpointGiven ? '' :
    (variables.regionGiven ? variables.annotations['speechpool.dev/azure-region'] : {{ $sidecar.azureRegion | toRawJson }})
- name: endpoint
  expression: >-
    variables.endpointGiven ? variables.annotations['speechpool.dev/azure-endpoint'] :
    (variables.regionGiven ? '' : {{ $sidecar.azureEndpoint | toRawJson }})
- name: secret
  expression: >-
    variables.annotations[?'speechpool.dev/credentials-secret'].orValue('').matches(r'^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$') ?
    variables.annotations['speechpool.dev/credentials-secret'] : {{ $sidecar.credentialsSecret | toRawJson }}
- name: engineAsked
  expression: >-
    variables.annotations[?'speechpool.dev/engine'].orValue('') in {{ $sidecar.engines | toRawJson }} ?
    variables.annotations['speechpool.dev/engine'] : {{ $sidecar.engine | toRawJson }}
# azure without a place would keep the sidecar, and so the application, from starting
- name: engine
  expression: >-
    variables.engineAsked == 'azure' && variables.region == '' && variables.endpoint == '' && variables.secret == '' ? '' :
    (variables.engineAsked == '' && variables.secret != '' ? 'azure' : variables.engineAsked)
- name: logLevel
  expression: >-
    variables.annotations[?'speechpool.dev/log-level'].orValue('') in ['debug', 'info', 'warning', 'error'] ?
    variables.annotations['speechpool.dev/log-level'] : {{ $sidecar.logLevel | toRawJson }}
- name: wait
  expression: >-
    variables.annotations[?'speechpool.dev/startup-wait-seconds'].orValue('').matches('^([0-9]{1,2}|[1-5][0-9]{2}|600)$') ?
    int(variables.annotations['speechpool.dev/startup-wait-seconds']) : {{ int $sidecar.startupWaitSeconds }}
- name: cpuAsked
  expression: >-
    {{ include "speechpool.policyQuantity" (list "cpu-request" "1m" "64" (dig "resources" "requests" "cpu" "" $sidecar)) | replace "\n" " " }}
- name: memoryLimitAsked
  expression: >-
    {{ include "speechpool.policyQuantity" (list "memory-limit" "64Mi" "64Gi" (dig "resources" "limits" "memory" "" $sidecar)) | replace "\n" " " }}
- name: memoryRequestAsked
  expression: >-
    {{ include "speechpool.policyQuantity" (list "memory-request" "64Mi" "64Gi" (dig "resources" "requests" "memory" "" $sidecar)) | replace "\n" " " }}
# where the two are out of order, the one that the pod gave holds and the other follows
- name: memoryOutOfOrder
  expression: >-
    variables.memoryRequestAsked != '' && variables.memoryLimitAsked != '' &&
    quantity(variables.memoryRequestAsked).isGreaterThan(quantity(variables.memoryLimitAsked))
- name: memoryLimit
  expression: >-
    variables.memoryOutOfOrder && !('speechpool.dev/memory-limit' in variables.annotations) ? variables.memoryRequestAsked :
    variables.memoryLimitAsked
- name: memoryRequest
  expression: >-
    variables.memoryOutOfOrder && 'speechpool.dev/memory-limit' in variables.annotations ? variables.memoryLimitAsked :
    variables.memoryRequestAsked
- name: guaranteed
  expression: >-
    (object.spec.containers + variables.inits).all(c, has(c.resources) && has(c.resources.limits) &&
    ['cpu', 'memory'].all(r, r in c.resources.limits && (!has(c.resources.requests) || !(r in c.resources.requests) ||
    c.resources.requests[r] == c.resources.limits[r])))
- name: cpuGuaranteed
  expression: >-
    'speechpool.dev/cpu-request' in variables.annotations ? variables.cpuAsked : {{ default "" $sidecar.guaranteedCpu | toString | toRawJson }}
{{- end -}}

{{- define "speechpool.policyMesh" -}}
['istio-proxy', 'linkerd-proxy', 'consul-dataplane', 'kuma-sidecar']
{{- end -}}

{{/* (list annotation least most otherwise) */}}
{{- define "speechpool.policyQuantity" -}}
{{- $name := printf "'speechpool.dev/%s'" (index . 0) -}}
isQuantity(variables.annotations[?{{ $name }}].orValue('')) &&
quantity(variables.annotations[{{ $name }}]).compareTo(quantity('{{ index . 1 }}')) >= 0 &&
quantity(variables.annotations[{{ $name }}]).compareTo(quantity('{{ index . 2 }}')) <= 0 ?
variables.annotations[{{ $name }}] : {{ default "" (index . 3) | toString | toRawJson }}
{{- end -}}

{{- define "speechpool.policyPatch" -}}
{{- $indices := untilStep 0 32 1 | toJson -}}
{{- $mount := dict "name" "speechpool-socket" "mountPath" "/run/speechpool" "readOnly" true -}}
{{- $socket := dict "name" "SPEECHPOOL_SOCKET" "value" "/run/speechpool/speechpool.sock" -}}
{{- $parts := list -}}
{{- $parts = append $parts `(has(object.metadata.labels) ? [] : [JSONPatch{op: 'add', path: '/metadata/labels', value: {}}])` -}}
{{- $parts = append $parts `[JSONPatch{op: 'add', path: '/metadata/labels/speechpool.dev~1injected', value: 'true'}]` -}}
{{- $parts = append $parts `(has(object.metadata.annotations) ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {}}])` -}}
{{- $parts = append $parts `(has(params.data) && 'ca.crt' in params.data ? [JSONPatch{op: 'add', path: '/metadata/annotations/speechpool.dev~1operator-ca', value: params.data['ca.crt']}] : [])` -}}
{{- $parts = append $parts `('kubectl.kubernetes.io/default-container' in variables.annotations ? [] : [JSONPatch{op: 'add', path: '/metadata/annotations/kubectl.kubernetes.io~1default-container', value: (object.spec.containers.filter(c, !(c.name in @MESH@)) + object.spec.containers)[0].name}])` -}}
{{- /* where the mesh wants mutual TLS it would refuse the kubelet, which has no certificate */}}
{{- $ports := "traffic.sidecar.istio.io/excludeInboundPorts" -}}
{{- $port := toString .Values.sidecar.telemetryPort -}}
{{- $parts = append $parts (printf `((object.spec.containers + variables.inits).exists(c, c.name == 'istio-proxy') && !variables.hostNetwork && !variables.annotations[?'%s'].orValue('').split(',').exists(p, p.trim() in ['%s', '*']) ? [JSONPatch{op: 'add', path: '/metadata/annotations/%s', value: variables.annotations[?'%s'].orValue('') == '' ? '%s' : variables.annotations['%s'] + ',%s'}] : [])` $ports $port ($ports | replace "/" "~1") $ports $port $ports $port) -}}
{{- /* the socket for every container that starts after the sidecar, but a mesh's proxy */}}
{{- range $kind, $where := dict "containers" "object.spec.containers" "initContainers" "variables.inits" }}
{{- $wanted := ternary "!(@LIST@[i].name in @MESH@)" "i >= variables.at" (eq $kind "containers") -}}
{{- $wanted = printf "i < size(@LIST@) && %s && !(has(@LIST@[i].volumeMounts) && @LIST@[i].volumeMounts.exists(m, m.mountPath in ['/run/speechpool', '/run/speechpool/']))" $wanted -}}
{{- $each := printf "@INDICES@.filter(i, %s" $wanted -}}
{{- $parts = append $parts (printf "%s && !has(@LIST@[i].env)).map(i, JSONPatch{op: 'add', path: '/spec/%s/' + string(i) + '/env', value: []})" $each $kind | replace "@LIST@" $where) -}}
{{- $parts = append $parts (printf "%s && (!has(@LIST@[i].env) || !@LIST@[i].env.exists(e, e.name == 'SPEECHPOOL_SOCKET'))).map(i, JSONPatch{op: 'add', path: '/spec/%s/' + string(i) + '/env/0', value: %s})" $each $kind (include "speechpool.cel" $socket) | replace "@LIST@" $where) -}}
{{- $parts = append $parts (printf "%s && !has(@LIST@[i].volumeMounts)).map(i, JSONPatch{op: 'add', path: '/spec/%s/' + string(i) + '/volumeMounts', value: []})" $each $kind | replace "@LIST@" $where) -}}
{{- $parts = append $parts (printf "%s).map(i, JSONPatch{op: 'add', path: '/spec/%s/' + string(i) + '/volumeMounts/-', value: %s})" $each $kind (include "speechpool.cel" $mount) | replace "@LIST@" $where) -}}
{{- end -}}
{{- $parts = append $parts `(has(object.spec.initContainers) ? [] : [JSONPatch{op: 'add', path: '/spec/initContainers', value: []}])` -}}
{{- $parts = append $parts (printf "[JSONPatch{op: 'add', path: '/spec/initContainers/' + string(variables.at), value: %s}]" (include "speechpool.cel" (include "speechpool.policySidecar" . | fromYaml))) -}}
{{- $parts = append $parts `(has(object.spec.volumes) ? [] : [JSONPatch{op: 'add', path: '/spec/volumes', value: []}])` -}}
{{- range include "speechpool.policyVolumes" . | fromYamlArray -}}
{{- $parts = append $parts (printf "(%s ? [JSONPatch{op: 'add', path: '/spec/volumes/-', value: %s}] : [])" .when (include "speechpool.cel" .volume)) -}}
{{- end -}}
{{- with .Values.sidecar.imagePullSecrets -}}
{{- $parts = append $parts `(has(object.spec.imagePullSecrets) ? [] : [JSONPatch{op: 'add', path: '/spec/imagePullSecrets', value: []}])` -}}
{{- range . -}}
{{- $parts = append $parts (printf "(has(object.spec.imagePullSecrets) && object.spec.imagePullSecrets.exists(s, s.name == %s) ? [] : [JSONPatch{op: 'add', path: '/spec/imagePullSecrets/-', value: %s}])" (toJson .) (include "speechpool.cel" (dict "name" .))) -}}
{{- end -}}
{{- end -}}
{{- join " + " $parts | replace "@INDICES@" $indices | replace "@MESH@" (include "speechpool.policyMesh" .) -}}
{{- end -}}

{{/* Maps that are decided in the pod are lists of pairs to CEL; here everything that has a condition is one expression. */}}
{{- define "speechpool.policySidecar" -}}
{{- $sidecar := .Values.sidecar -}}
{{- $host := ternary "[::]" $sidecar.telemetryHost (eq $sidecar.telemetryHost "::") -}}
name: speechpool
image: {{ include "speechpool.image" (dict "root" $ "image" .Values.image.sidecar) }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
restartPolicy: Always
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  {{- with $sidecar.runAsUser }}
  runAsUser: {{ . }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
env: {{ include "speechpool.policyEnv" (dict "root" $ "host" $host) | printf "cel:%s" | toRawJson }}
resources: {{ include "speechpool.policyResources" . | printf "cel:%s" | toRawJson }}
volumeMounts: {{ include "speechpool.policyMounts" . | printf "cel:%s" | toRawJson }}
ports: {{ printf "cel:variables.hostNetwork ? [] : [dyn(%s)]" (include "speechpool.cel" (dict "name" "speechpool" "containerPort" $sidecar.telemetryPort "protocol" "TCP")) | toRawJson }}
startupProbe: {{ printf "cel:variables.hostNetwork ? %s : %s"
  (include "speechpool.cel" (dict "exec" (dict "command" (list "speechpool" "wait" "--started" "--quiet" "--timeout" "1")) "periodSeconds" 2 "timeoutSeconds" 10 "failureThreshold" "cel:(variables.wait + 61) / 2"))
  (include "speechpool.cel" (dict "httpGet" (dict "path" "/startupz" "port" $sidecar.telemetryPort) "periodSeconds" 1 "timeoutSeconds" 2 "failureThreshold" "cel:variables.wait + 60")) | toRawJson }}
livenessProbe: {{ printf "cel:variables.hostNetwork ? dyn(null) : dyn(%s)" (include "speechpool.cel" (dict "httpGet" (dict "path" "/healthz" "port" $sidecar.telemetryPort) "periodSeconds" 10 "timeoutSeconds" 10 "failureThreshold" 6)) | toRawJson }}
{{- end -}}

{{- define "speechpool.policyEnv" -}}
{{- $sidecar := .root.Values.sidecar -}}
{{- $azure := "(variables.engine in ['', 'azure'] ? (%s) : '')" -}}
{{- $values := list
  (list "SPEECHPOOL_SOCKET" `"/run/speechpool/speechpool.sock"`)
  (list "SPEECHPOOL_SOCKET_MODE" "(variables.fsGroup ? '0660' : '0666')")
  (list "SPEECHPOOL_TELEMETRY_ADDRESS" (printf "(variables.hostNetwork ? '' : '%s:%d')" .host (int $sidecar.telemetryPort)))
  (list "SPEECHPOOL_STARTUP_WAIT" "string(variables.wait)")
  (list "SPEECHPOOL_SHUTDOWN_TIMEOUT" "string(variables.grace >= 3605 ? 3600 : (variables.grace >= 10 ? variables.grace - 5 : variables.grace / 2))")
  (list "SPEECHPOOL_LOG_LEVEL" "variables.logLevel")
  (list "SPEECHPOOL_LOG_FORMAT" (toJson $sidecar.logFormat))
  (list "SPEECHPOOL_ENGINE" "variables.engine")
  (list "SPEECHPOOL_OPERATOR" (include "speechpool.operatorAddress" .root | toJson))
  (list "SPEECHPOOL_STATE_DIR" `"/var/lib/speechpool"`)
  (list "HTTPS_PROXY" (toJson $sidecar.egressProxy.https))
  (list "NO_PROXY" (toJson $sidecar.egressProxy.noProxy))
  (list "AZURE_SPEECH_REGION" (printf $azure "variables.region"))
  (list "AZURE_SPEECH_ENDPOINT" (printf $azure "variables.endpoint"))
  (list "AZURE_SPEECH_RESOURCE_ID" (toJson $sidecar.azureResourceId | printf $azure))
  (list "AZURE_SPEECH_KEY_FILE" (ternary "''" (printf $azure "variables.secret != '' || (variables.engine == 'azure' && variables.region != '') ? '/var/run/secrets/speechpool-credentials/AZURE_SPEECH_KEY' : ''") (ne $sidecar.azureResourceId "")))
-}}
{{- $pairs := list -}}
{{- range $values }}{{ $pairs = append $pairs (printf "{'name': dyn('%s'), 'value': dyn(%s)}" (index . 0) (index . 1)) }}{{ end -}}
[{{ join ", " $pairs }}].filter(e, e.value != '')
{{- range list "AZURE_SPEECH_REGION" "AZURE_SPEECH_ENDPOINT" }}
{{- $key := dict "name" . "valueFrom" (dict "secretKeyRef" (dict "name" "cel:variables.secret" "key" . "optional" true)) }} + (variables.engine in ['', 'azure'] && variables.secret != '' && variables.region == '' && variables.endpoint == '' ? [{{ include "speechpool.cel" $key }}] : [])
{{- end -}}
{{- range $sidecar.env }} + [{{ include "speechpool.cel" . }}]{{ end -}}
{{- end -}}

{{- define "speechpool.policyResources" -}}
{{- $guaranteed := include "speechpool.cel" (dict "cpu" "cel:variables.cpuGuaranteed" "memory" "cel:variables.memoryLimit") -}}
{{- $requests := include "speechpool.policyAmounts" (list "variables.cpuAsked" "variables.memoryRequest") -}}
{{- $limits := include "speechpool.policyAmounts" (list (dig "resources" "limits" "cpu" "" .Values.sidecar | toString | toRawJson) "variables.memoryLimit") -}}
has(object.spec.resources) ? dyn({}) : variables.guaranteed && variables.cpuGuaranteed != '' && variables.memoryLimit != '' ? {'requests': dyn({{ $guaranteed }}), 'limits': dyn({{ $guaranteed }})} : {'requests': dyn({{ $requests }}), 'limits': dyn({{ $limits }})}
{{- end -}}

{{/* A map with cpu and memory, each where it is not empty. */}}
{{- define "speechpool.policyAmounts" -}}
{{- $cpu := index . 0 -}}{{- $memory := index . 1 -}}
{{ $cpu }} != '' && {{ $memory }} != '' ? dyn({'cpu': dyn({{ $cpu }}), 'memory': dyn({{ $memory }})}) : ({{ $cpu }} != '' ? dyn({'cpu': dyn({{ $cpu }})}) : ({{ $memory }} != '' ? dyn({'memory': dyn({{ $memory }})}) : dyn({})))
{{- end -}}

{{- define "speechpool.policyMounts" -}}
[dyn({{ include "speechpool.cel" (dict "name" "speechpool-socket" "mountPath" "/run/speechpool") }}), dyn({{ include "speechpool.cel" (dict "name" "speechpool-no-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true) }}), dyn({{ include "speechpool.cel" (dict "name" "speechpool-state" "mountPath" "/var/lib/speechpool") }}), dyn({{ include "speechpool.cel" (dict "name" "speechpool-operator" "mountPath" "/var/run/secrets/speechpool.dev" "readOnly" true) }})] + (variables.secret != '' ? [dyn({{ include "speechpool.cel" (dict "name" "speechpool-credentials" "mountPath" "/var/run/secrets/speechpool-credentials" "readOnly" true) }})] : [])
{{- end -}}

{{- define "speechpool.policyVolumes" -}}
{{- $sidecar := .Values.sidecar -}}
- when: "true"
  volume:
    name: speechpool-socket
    emptyDir:
      medium: Memory
      sizeLimit: {{ $sidecar.socketVolumeSize | quote }}
# over the application's own token, which is none of the sidecar's business
- when: "true"
  volume:
    name: speechpool-no-token
    emptyDir:
      medium: Memory
      sizeLimit: 4Ki
- when: "true"
  volume:
    name: speechpool-state
    emptyDir:
      sizeLimit: {{ $sidecar.stateVolumeSize | quote }}
- when: "true"
  volume:
    name: speechpool-operator
    projected:
      {{- $token := dict "serviceAccountToken" (dict "audience" "speechpool-operator" "expirationSeconds" $sidecar.tokenExpirationSeconds "path" "token") }}
      {{- $field := dict "downwardAPI" (dict "items" (list (dict "path" "ca/admission.crt" "fieldRef" (dict "fieldPath" "metadata.annotations['speechpool.dev/operator-ca']")))) }}
      {{- $current := dict "configMap" (dict "name" (include "speechpool.caConfigMapName" .) "optional" true "items" (list (dict "key" "ca.crt" "path" "ca/current.crt"))) }}
      sources: {{ printf "cel:[dyn(%s)] + (has(params.data) && 'ca.crt' in params.data ? [dyn(%s)] : []) + [dyn(%s)]" (include "speechpool.cel" $token) (include "speechpool.cel" $field) (include "speechpool.cel" $current) | toRawJson }}
- when: "variables.secret != ''"
  volume:
    name: speechpool-credentials
    secret:
      secretName: cel:variables.secret
      optional: true
      items:
      {{- range list "AZURE_SPEECH_KEY" "AZURE_SPEECH_REGION" "AZURE_SPEECH_ENDPOINT" }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end -}}
