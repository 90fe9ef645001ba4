{{/* The pod of gateway, encoder, expander and retriever: one image each, settings from a ConfigMap, health on the same port. */}}

{{- define "warmstart.service.pod" -}}
{{- $root := .root }}{{ $name := .component }}{{ $own := include "warmstart.service.own" . | fromJson }}{{ $neuron := include "warmstart.neuron" . }}
{{- $taints := ternary (list (dict "key" "aws.amazon.com/neuron" "operator" "Exists" "effect" "NoSchedule")) list (eq $neuron "yes") }}
metadata:
  labels:
    {{- include "warmstart.podLabels" . | nindent 4 }}
    {{- if include "warmstart.service.reads" . }}{{ include "warmstart.artefacts.label" . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include "warmstart.service.settings" . | sha256sum }}
    {{- with $own.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- include "warmstart.pod" (merge (dict "nodeSelector" $own.nodeSelector "tolerations" (concat $own.tolerations $taints)) .) | nindent 2 }}
  {{- with include "warmstart.priority" $root | trim }}{{ . | nindent 2 }}{{ end }}
  {{- if include "warmstart.service.together" . }}
  affinity: {{- include "warmstart.service.together" . | nindent 4 }}
  {{- else if ne $name "retriever" }}
  {{- with include "warmstart.spread" . | trim }}{{ . | nindent 2 }}{{ end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "warmstart.grace" . }}
  securityContext: {{- include "warmstart.podSecurity" . | nindent 4 }}
  containers:
    - name: {{ $name }}
      image: {{ include "warmstart.image" . }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      envFrom: # the last one wins: a Secret changes no setting
        {{- if and (include "warmstart.service.stores" .) $root.Values.objectStorage.existingSecret }}
        - secretRef: {name: {{ $root.Values.objectStorage.existingSecret | quote }}}
        {{- end }}
        - configMapRef: {name: {{ include "warmstart.component" . }}}
      env: {{- include "warmstart.service.env" . | trim | nindent 8 }}
      ports:
        - {name: http, containerPort: {{ include "warmstart.port" . }}}
      {{- include "warmstart.service.probes" . | nindent 6 }}
      resources: {{- ternary (include "warmstart.neuron.resources" $root) (toYaml $own.resources) (eq $neuron "yes") | nindent 8 }}
      securityContext: {{- include "warmstart.containerSecurity" . | nindent 8 }}
      volumeMounts:
        - {name: state, mountPath: /state}
        - {name: tmp, mountPath: /tmp}
        {{- if eq (include "warmstart.service.reads" .) "yes" }}
        - {name: artefacts, mountPath: /artefacts, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if eq (include "warmstart.service.shared" .) "yes" }}
    - name: state
      persistentVolumeClaim: {claimName: {{ include "warmstart.component" . }}}
    {{- else if ne $name "retriever" }}
    - name: state
      emptyDir: {}
    {{- end }}
    {{- if eq (include "warmstart.service.reads" .) "yes" }}
    - name: artefacts
      persistentVolumeClaim: {claimName: {{ include "warmstart.artefacts" $root }}}
    {{- end }}
{{- end }}
