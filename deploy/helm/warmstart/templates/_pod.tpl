{{/* What all pods share: who they run as, what they may, where they go. Knows nothing of what runs in them. */}}

{{- define "warmstart.pod" -}}
serviceAccountName: {{ include "warmstart.component" . }}
automountServiceAccountToken: false
enableServiceLinks: false # else a Service named gateway injects GATEWAY_PORT=tcp://..., which our settings would read as theirs
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Pod Security Standard `restricted`; 10001 owns the volumes that it writes. */}}
{{- define "warmstart.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "warmstart.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "warmstart.priority" -}}
{{- with .Values.priorityClass }}
{{- if or .create .name }}
priorityClassName: {{ .name | default (printf "%s-serving-%s" (include "warmstart.fullname" $) $.Release.Namespace | trunc 63 | trimSuffix "-") }}
{{- end }}
{{- end }}
{{- end }}

{{- define "warmstart.spread" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector: {{ include "warmstart.selector" $ }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end }}
