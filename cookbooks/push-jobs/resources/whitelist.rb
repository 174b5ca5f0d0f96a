unified_mode true

provides :push_jobs_whitelist
resource_name :push_jobs_whitelist
description 'Writes the whitelist of the agent, after the agent has checked it.'

property :path, String,
         name_property: true,
         description: 'The file to write.'
property :entries, Hash,
         required: [:create],
         coerce: proc { |value| PushJobs::Cookbook::Whitelist.normalize(value) },
         callbacks: { 'must be a whitelist without mistakes' => ->(value) { PushJobs::Cookbook::Whitelist.valid!(value) } },
         description: 'Job names and what they stand for.'

action :create do
  description 'Write the file.'
  file new_resource.path do
    content "#{JSON.pretty_generate(new_resource.entries)}\n"
    owner 'root'
    group 'root'
    mode '0644'
    verify { |path| PushJobs::Cookbook::AgentCheck.whitelist!(path) }
  end
end

action :delete do
  description 'Remove the file.'
  file new_resource.path do
    action :delete
  end
end
