{{/* The encoder on NeuronCores: what its pods and its compile Job have in common. Where services.encoder.neuron.chips is 0 nothing of it is used. */}}

{{/* "yes" for the encoder where it has chips. */}}
{{- define "warmstart.neuron" -}}
{{- if and (eq .component "encoder") (gt (int .root.Values.services.encoder.neuron.chips) 0) }}yes{{ end -}}
{{- end }}

{{/* encoder-neuron of our registry; neuron.image replaces repository and tag, and its digest wins. */}}
{{- define "warmstart.neuron.image" -}}
{{- with .Values.services.encoder.neuron.image }}
{{- .repository | default (printf "%s/encoder-neuron" $.Values.image.registry) }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default (include "warmstart.tag" $) }}{{ end }}
{{- end }}
{{- end }}

{{/* Cores of a pod: a chip has two, and four logical ones on trn2. */}}
{{- define "warmstart.neuron.cores" -}}
{{- with .Values.services.encoder.neuron }}{{ mul (int .chips) (ternary 4 2 (hasPrefix "trn2" .device)) }}{{ end -}}
{{- end }}

{{/* Where compiled models lie; a folder there has the name of the model's, and in it one for each key. */}}
{{- define "warmstart.neuron.store" -}}
/artefacts/encoder
{{- end }}

{{/* What the service is told in place of the settings backend, device, model and threads. */}}
{{- define "warmstart.neuron.settings" }}
ENCODER_BACKEND: neuron
{{- with .Values.services.encoder.neuron }}
ENCODER_DEVICE: {{ .device | quote }}
ENCODER_MODEL: {{ printf "%s/%s" (include "warmstart.neuron.store" $) (base .model) | quote }}
{{- end }}
ENCODER_THREADS: {{ include "warmstart.neuron.cores" . | quote }} # a core each
{{- end }}

{{/* Whole chips: trn2 gives no single cores (its plugin and Karpenter count them differently), and a pod uses all cores of a chip. */}}
{{- define "warmstart.neuron.resources" -}}
{{- $chips := dict "aws.amazon.com/neuron" (int .Values.services.encoder.neuron.chips) }}
{{- toYaml (merge (dict "requests" $chips "limits" (deepCopy $chips)) (deepCopy .Values.services.encoder.resources)) }}
{{- end }}
