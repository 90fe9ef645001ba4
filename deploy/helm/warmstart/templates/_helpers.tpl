{{/* Names, labels and images that all templates share. Every helper that needs more than the root takes (dict "root" $ "component" NAME). */}}

{{/* At most 24 characters, so that the longest name made from it (the compile Job's) fits the 63 of a label. */}}
{{- define "warmstart.fullname" -}}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name)) -}}
{{- if gt (len $name) 24 }}{{ printf "%s-%s" ($name | trunc 15 | trimSuffix "-") ($name | sha256sum | trunc 8) }}{{ else }}{{ $name }}{{ end -}}
{{- end }}

{{- define "warmstart.component" -}}
{{ include "warmstart.fullname" .root }}-{{ .component }}
{{- end }}

{{- define "warmstart.selectorLabels" -}}
app.kubernetes.io/name: warmstart
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The same as a label selector on one line. */}}
{{- define "warmstart.selector" -}}
{matchLabels: {app.kubernetes.io/name: warmstart, app.kubernetes.io/instance: {{ .root.Release.Name | quote }}, app.kubernetes.io/component: {{ .component }}}}
{{- end }}

{{- define "warmstart.labels" -}}
{{ include "warmstart.selectorLabels" . }}
app.kubernetes.io/part-of: warmstart
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ include "warmstart.tag" .root | trunc 63 | trimAll "-_." | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* Of pods: nothing that changes with the chart alone, which would restart them for nothing. */}}
{{- define "warmstart.podLabels" -}}
{{ include "warmstart.selectorLabels" . }}
app.kubernetes.io/part-of: warmstart
app.kubernetes.io/version: {{ include "warmstart.tag" .root | trunc 63 | trimAll "-_." | quote }}
{{- end }}

{{- define "warmstart.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* One of our five images, or the encoder's for NeuronCores; the digest wins over the tag. */}}
{{- define "warmstart.image" -}}
{{- if include "warmstart.neuron" . }}{{ include "warmstart.neuron.image" .root }}{{ else }}
{{- $name := include "warmstart.service.of" . }}{{ $digest := get .root.Values.image.digests $name -}}
{{ .root.Values.image.registry }}/{{ $name }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ include "warmstart.tag" .root }}{{ end }}
{{- end }}
{{- end }}

{{/* TCP port of a component's container and Service. */}}
{{- define "warmstart.port" -}}
{{ get (dict "gateway" 8000 "encoder" 8001 "expander" 8002 "retriever" 8003 "llm" 8000) (include "warmstart.service.of" .) }}
{{- end }}

{{- define "warmstart.url" -}}
http://{{ include "warmstart.component" . }}:{{ include "warmstart.port" . }}
{{- end }}
