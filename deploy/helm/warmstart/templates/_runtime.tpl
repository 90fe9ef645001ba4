{{/* What files/runtime-profiles.json says of the chosen runtime profile, with the values filled in. Helpers end in JSON; read them by fromJson. */}}

{{- define "warmstart.runtime.profile" -}}
{{ get (.Files.Get "files/runtime-profiles.json" | fromJson).profiles .Values.llm.profile | toJson }}
{{- end }}

{{/* The value of each {placeholder}, as expander.runtimes computes it. */}}
{{- define "warmstart.runtime.known" -}}
{{- $llm := .Values.llm }}{{ $profile := include "warmstart.runtime.profile" . | fromJson }}{{ $preset := $profile.defaults }}
{{- $length := int ($llm.maxModelLen | default $preset.max_model_len) }}
{{- dict "model_name" $llm.model.name "model_revision" $llm.model.revision "served_name" $llm.model.name
  "model_path" ($llm.model.path | default (printf "/artefacts/models/%s" $llm.model.name))
  "image" (include "warmstart.runtime.image" .) "profile" $profile.name "compile_target" $profile.compile_target "flags" $profile.flags
  "tensor_parallel_size" ($llm.tensorParallelSize | default $preset.tensor_parallel_size | int | toString)
  "max_model_len" (toString $length) "max_num_seqs" ($llm.maxNumSeqs | default $preset.max_num_seqs | int | toString)
  "buckets" (printf "%d,%d,%d" (div $length 4) (div $length 2) $length)
  "block_size" ($preset.block_size | int | toString) "dtype" $preset.dtype "host" $preset.host "port" (include "warmstart.port" (dict "component" "llm"))
  "prefix_caching" (ternary "--enable-prefix-caching" "--no-enable-prefix-caching" $preset.prefix_caching) | toJson }}
{{- end }}

{{/* .text with each {name} of .known replaced. */}}
{{- define "warmstart.runtime.filled" -}}
{{- $text := .text }}{{ range $name, $value := .known }}{{ $text = replace (printf "{%s}" $name) $value $text }}{{ end }}{{ $text }}
{{- end }}

{{/* The profile's image with our registry and tag; llm.image replaces repository and tag, and its digest wins. */}}
{{- define "warmstart.runtime.image" -}}
{{- $run := (include "warmstart.runtime.profile" . | fromJson).image.run | replace "<registry>" .Values.image.registry | replace "<tag>" (include "warmstart.tag" .) }}
{{- $tag := regexFind "[^:/]+$" (regexFind ":[^:/]+$" $run) }}
{{- with .Values.llm.image }}
{{- .repository | default (trimSuffix (printf ":%s" $tag) $run) }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Key of the compiled artefact: what `python3 -m expander.runtimes key` prints. Empty where nothing is compiled. */}}
{{- define "warmstart.runtime.key" -}}
{{- if (include "warmstart.runtime.profile" . | fromJson).needs_compile }}
{{- $key := (.Files.Get "files/runtime-profiles.json" | fromJson).key }}{{ $known := include "warmstart.runtime.known" . | fromJson }}
{{- $lines := list }}
{{- range $key.lines }}{{ $lines = append $lines (include "warmstart.runtime.filled" (dict "text" . "known" $known)) }}{{ end }}
{{- join $key.joined_by $lines | sha256sum }}
{{- end }}
{{- end }}

{{/* Devices, memory and nodes of the chosen tensor-parallel size. */}}
{{- define "warmstart.runtime.shape" -}}
{{- $size := (include "warmstart.runtime.known" . | fromJson).tensor_parallel_size }}
{{- get (include "warmstart.runtime.profile" . | fromJson).shapes $size | toJson }}
{{- end }}
